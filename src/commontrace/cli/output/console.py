"""What is laid out for people: lines, texts and tables, with colours where a terminal can show them.

A pipe gets texts as they were written: Rich would make spaces of tabs and drop those at the end of a line.
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

_TABLE_WIDTH = 80


class _Output(Console):
    def on_broken_pipe(self) -> None:
        # Rich would end the program, with 1.
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def standard_output() -> Console:
    """Returns where results go. NO_COLOR, TERM=dumb and a pipe leave colours out, whatever FORCE_COLOR says."""
    return _Output(highlight=False, force_terminal=sys.stdout.isatty())


def print_line(console: Console, text: str | Text, style: str = "") -> None:
    """Prints one line as it is: not broken, nothing in it taken for markup."""
    if console.is_terminal:
        console.print(Text(text, style=style) if isinstance(text, str) else text, soft_wrap=True)
    else:
        print(text)


def print_entry(console: Console, text: str | Text, style: str = "") -> None:
    """Prints one line of a list: cut to the width of a terminal, in full for a pipe."""
    line = Text(text, style=style) if isinstance(text, str) else text
    if console.is_terminal:
        line.truncate(console.width, overflow="ellipsis")
    print_line(console, line)


def supports_tables(console: Console) -> bool:
    """Whether columns can be read there: on a terminal of the usual width. Elsewhere lines serve better."""
    return console.is_terminal and console.width >= _TABLE_WIDTH


def print_table(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints columns under headings for a terminal; what is too long for the last one goes on in it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for position, heading in enumerate(headings):
        is_last = position == len(headings) - 1
        table.add_column(heading, no_wrap=not is_last, overflow="fold" if is_last else "ellipsis")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def print_text(console: Console, heading: str, text: str) -> None:
    """Prints a long text in Markdown under a heading."""
    print_line(console, "")
    print_line(console, heading, "bold cyan")
    if console.is_terminal:
        # A link shows where it leads.
        console.print(_Printable(Markdown(text, hyperlinks=False)))
    else:
        print(printable(text))


class _Printable:
    """Markdown whose character references (`&#x202e;`) cannot steer a terminal either."""

    def __init__(self, markdown: Markdown) -> None:
        self._markdown = markdown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._markdown, options):
            yield Segment(printable(segment.text), segment.style, segment.control)
