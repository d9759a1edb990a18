"""How far long work has got, on standard error, for whoever watches a terminal; nobody else hears of it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yields what to tell of each step: how much is done, of how much in all if that is known.

    Until it is told, it shows that work goes on. Nothing of it stays on the screen.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, force_terminal=sys.stderr.isatty())
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=None))
    is_watched = console.is_terminal and not console.is_dumb_terminal
    with Progress(
        *columns,
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not is_watched,
        redirect_stdout=False,
    ) as shown:
        task = shown.add_task(what, total=None, count="")

        def advance(done: int, total: int | None) -> None:
            count = f"{done:,}" if total is None else f"{done:,} of {total:,}"
            shown.update(task, completed=done, total=total, count=count)

        yield advance
