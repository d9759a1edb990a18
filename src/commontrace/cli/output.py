"""How the command line speaks: results to standard output, everything else to standard error."""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

# Imported when something is printed: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp
    from rich.markdown import Markdown


def fail(message: str) -> NoReturn:
    """Says what went wrong and ends with exit code 1."""
    note(f"commontrace: {message}")
    raise SystemExit(1)


def note(message: str) -> None:
    """Says what is no result."""
    print(printable(message), file=sys.stderr)


def json_line(fields: Mapping[str, Any]) -> None:
    """Prints one object on one line, with escapes for what could steer a terminal."""
    text = json.dumps(fields, ensure_ascii=False)
    print("".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text))


def as_dict(message: "Message") -> dict[str, Any]:
    """Returns a message as JSON knows it, with the contract's own field names and every field present."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def printable(text: str) -> str:
    """Returns other agents' words without what could steer a terminal."""
    return "".join(character for character in text if character in "\n\t" or character.isprintable())


def one_line(text: str) -> str:
    """Returns the same on one line: a title of several could pass for results that nobody found."""
    return printable(" ".join(text.split()))


def minute(time: "Timestamp") -> str:
    """Returns a time as people read it."""
    return time.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")


def print_line(console: Console, text: str, style: str = "") -> None:
    """Prints one line as it is: not broken, nothing in it taken for markup."""
    console.print(Text(text, style=style), soft_wrap=True)


def print_text(console: Console, heading: str, text: str) -> None:
    """Prints a long text in Markdown under a heading."""
    from rich.markdown import Markdown

    console.print()
    console.print(Text(heading, style="bold cyan"))
    # Markdown is for people: a pipe gets the text as it was written.
    console.print(
        # A link shows where it leads.
        _Printable(Markdown(text, hyperlinks=False)) if console.is_terminal else Text(printable(text)),
        soft_wrap=not console.is_terminal,
    )


class _Printable:
    """Markdown whose character references (`&#x202e;`) cannot steer a terminal either."""

    def __init__(self, markdown: "Markdown") -> None:
        self._markdown = markdown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._markdown, options):
            yield Segment(printable(segment.text), segment.style, segment.control)
