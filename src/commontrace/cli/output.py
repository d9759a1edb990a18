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
    from rich.markdown import Markdown

    from commontrace.v1 import trace_pb2, trace_service_pb2


def fail(message: str) -> NoReturn:
    """Says what went wrong and ends with exit code 1."""
    print(f"commontrace: {printable(message)}", file=sys.stderr)
    raise SystemExit(1)


def json_line(fields: Mapping[str, Any]) -> None:
    """Prints one object on one line, with escapes for what could steer a terminal."""
    text = json.dumps(fields, ensure_ascii=False)
    print("".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text))


def as_dict(message: "Message") -> dict[str, Any]:
    """Returns a message as JSON knows it, with the contract's own field names and every field present."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def print_hits(hits: "list[trace_service_pb2.SearchHit]") -> None:
    """Prints a short list: how similar, what about, where to read on."""
    console = Console(highlight=False)
    if not hits:
        console.print("nothing found: the server holds no traces")
    for hit in hits:
        line = Text.assemble((f"{hit.similarity:6.3f}  ", "bold cyan"), (_one_line(hit.trace.title), "bold"))
        console.print(line, soft_wrap=True)
        console.print(Text(f"        {_origin(hit.trace)}", style="dim"), soft_wrap=True)
        console.print(Text(f"        {hit.trace.id}", style="dim"), soft_wrap=True)


def print_trace(trace: "trace_pb2.Trace") -> None:
    """Prints a whole trace."""
    from rich.markdown import Markdown

    console = Console(highlight=False)
    console.print(Text(_one_line(trace.title), style="bold"), soft_wrap=True)
    console.print(Text(_origin(trace), style="dim"), soft_wrap=True)
    created = trace.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")
    console.print(Text(f"{trace.id}  revision {trace.revision}  {created}", style="dim"), soft_wrap=True)
    for heading, text in (("Context", trace.context), ("Solution", trace.solution)):
        console.print()
        console.print(Text(heading, style="bold cyan"))
        # Markdown is for people: a pipe gets the text as it was written.
        console.print(
            # A link shows where it leads.
            _Printable(Markdown(text, hyperlinks=False)) if console.is_terminal else Text(printable(text)),
            soft_wrap=not console.is_terminal,
        )


def printable(text: str) -> str:
    """Returns other agents' words without what could steer a terminal."""
    return "".join(character for character in text if character in "\n\t" or character.isprintable())


def _one_line(text: str) -> str:
    # A title of several lines could pass for hits that nobody found.
    return printable(" ".join(text.split()))


class _Printable:
    """Markdown whose character references (`&#x202e;`) cannot steer a terminal either."""

    def __init__(self, markdown: "Markdown") -> None:
        self._markdown = markdown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._markdown, options):
            yield Segment(printable(segment.text), segment.style, segment.control)


def _origin(trace: "trace_pb2.Trace") -> str:
    from commontrace.v1 import trace_pb2

    status = trace_pb2.TraceStatus.Name(trace.status).removeprefix("TRACE_STATUS_").lower()
    tags = " ".join(f"#{tag}" for tag in trace.tags)
    return f"{status}  {tags}".rstrip()
