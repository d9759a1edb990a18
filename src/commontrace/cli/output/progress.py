"""Progress bar of long-running commands on standard error; shown on a terminal only."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Shows a progress bar, and yields the function that advances it: by the count done and the total, None if unknown.

    The bar pulses until the first call, and is erased when the block ends.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, force_terminal=sys.stderr.isatty())
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=None))
    is_shown = console.is_terminal and not console.is_dumb_terminal
    with Progress(
        *columns,
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not is_shown,
        redirect_stdout=False,
    ) as bar:
        task = bar.add_task(title, total=None, count="")

        def advance(done: int, total: int | None) -> None:
            count = f"{done:,}" if total is None else f"{done:,} of {total:,}"
            bar.update(task, completed=done, total=total, count=count)

        yield advance
