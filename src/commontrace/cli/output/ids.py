"""Output of ids alone, for scripts: the option --ids."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from commontrace.cli.output.printing import print_note

if TYPE_CHECKING:
    from commontrace.v1 import trace_pb2

Ids = Annotated[bool, typer.Option("--ids", help="Print ids alone, one a line, for scripts.")]


def require_one_format(*, ids_only: bool, as_json: bool) -> None:
    """Raises typer.BadParameter where both --ids and --json are given."""
    if ids_only and as_json:
        raise typer.BadParameter("give either --ids or --json")


def print_ids(traces: "Iterable[trace_pb2.Trace]") -> None:
    """Prints ids alone, so that a script reads no untrusted text."""
    is_empty = True
    for trace in traces:
        print(trace.id)
        is_empty = False
    if is_empty:
        print_note("nothing found")
