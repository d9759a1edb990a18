"""Rich console output: lines, Markdown and tables for a terminal, plain text for a pipe.

A pipe bypasses Rich, which would expand tabs and strip spaces at the end of a line.
"""

import errno
import os
import sys
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from commontrace.cli.output.printing import printable

_MIN_TABLE_WIDTH = 80


class _Output(Console):
    def on_broken_pipe(self) -> None:
        # Rich would exit with 1; the caller exits with 0.
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def standard_output() -> Console:
    """Returns the console of standard output; FORCE_COLOR does not override NO_COLOR, TERM=dumb or a pipe."""
    return _Output(highlight=False, force_terminal=sys.stdout.isatty())


def print_line(console: Console, text: str | Text, style: str = "") -> None:
    """Prints one line without wrapping it and without interpreting markup."""
    if console.is_terminal:
        console.print(Text(text, style=style) if isinstance(text, str) else text, soft_wrap=True)
    else:
        print(text)


def print_entry(console: Console, text: str | Text, style: str = "") -> None:
    """Prints one line of a list: truncated to the width of a terminal, in full for a pipe."""
    line = Text(text, style=style) if isinstance(text, str) else text
    if console.is_terminal:
        line.truncate(console.width, overflow="ellipsis")
    print_line(console, line)


def supports_tables(console: Console) -> bool:
    """Returns True for a terminal of at least 80 columns; elsewhere, lists are printed as lines."""
    return console.is_terminal and console.width >= _MIN_TABLE_WIDTH


def print_table(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table without borders; the last column wraps, the others are truncated."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for position, heading in enumerate(headings):
        is_last = position == len(headings) - 1
        table.add_column(heading, no_wrap=not is_last, overflow="fold" if is_last else "ellipsis")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def print_text(console: Console, heading: str, text: str) -> None:
    """Prints a heading and a text: Markdown rendered on a terminal, its source for a pipe."""
    print_line(console, "")
    print_line(console, heading, "bold cyan")
    if console.is_terminal:
        # Without hyperlinks, Rich prints the target of each link, so that a reader sees where it leads.
        console.print(_Printable(Markdown(text, hyperlinks=False)))
    else:
        print(printable(text))


class _Printable:
    """Rendered Markdown without control characters, which character references (`&#x202e;`) could still produce."""

    def __init__(self, markdown: Markdown) -> None:
        self._markdown = markdown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._markdown, options):
            yield Segment(printable(segment.text), segment.style, segment.control)
