"""How far long work has got, on standard error, for whoever watches a terminal; nobody else hears of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields what to tell of each step: how much is done, of how much in all.

    Until it is told, it shows that work goes on. Nothing of it stays on the screen.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn())
    is_watched = console.is_terminal and not console.is_dumb_terminal
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not is_watched, redirect_stdout=False
    ) as shown:
        task = shown.add_task(what, total=None)

        def advance(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        yield advance
