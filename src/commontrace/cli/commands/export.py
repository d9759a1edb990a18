"""Bulk export of traces to a file: export."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output.printing import print_note, to_json
from commontrace.cli.output.progress import progress
from commontrace.cli.runtime.atomic_write import atomic_file
from commontrace.cli.runtime.filters import (
    AnyTags,
    By,
    Namespaces,
    Since,
    Status,
    Tags,
    Until,
    WithoutTags,
    build_trace_filter,
)
from commontrace.cli.runtime.server_calls import Address, As, call_server
from commontrace.plurals import counted

if TYPE_CHECKING:
    from commontrace.client import Client, TraceFilter
    from commontrace.v1 import trace_record_pb2


def export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write, standard output without.", show_default=False)
    ] = Path("-"),
    *,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Add the vectors: a server of the same model finds the traces at once.")
    ] = False,
    tag: Tags = None,
    any_tag: AnyTags = None,
    without_tag: WithoutTags = None,
    status: Status = None,
    namespace: Namespaces = None,
    by: By = None,
    since: Since = None,
    until: Until = None,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
) -> None:
    """Write traces to a file for another server.

    One JSON object a line, oldest trace first, those that others replace too. `commontrace import` reads it. FILE
    appears when it is complete.
    """

    async def filter_of_options(client: "Client") -> "TraceFilter | None":
        options = (tag, any_tag, without_tag, status, namespace, by, since, until)
        if not any(options):
            return None
        return await build_trace_filter(
            client,
            tags=tag,
            any_tags=any_tag,
            without_tags=without_tag,
            status=status,
            by=by,
            since=since,
            until=until,
            include_superseded=True,
            namespaces=namespace,
        )

    async def ask(client: "Client") -> int:
        count = 0
        records = client.export_traces(await filter_of_options(client), embeddings=embeddings)
        with atomic_file(file) as output, _progress(file) as advance:
            async with aclosing(records):
                async for record in records:
                    output.write(_line(record))
                    count += 1
                    advance(count, None)
        return count

    print_note(f"exported {counted(call_server(address, user, ask), 'traces')}")


def _line(record: "trace_record_pb2.TraceRecord") -> bytes:
    from google.protobuf.json_format import MessageToDict

    # Sorted, because protobuf maps have no order, and the same traces are to give the same bytes.
    return to_json(MessageToDict(record, preserving_proto_field_name=True), sort_keys=True).encode() + b"\n"


def _progress(file: Path) -> AbstractContextManager[Callable[[int, int | None], None]]:
    if str(file) == "-" and sys.stdout.isatty():
        # The progress bar would mix with the records.
        return nullcontext(lambda _done, _total: None)
    return progress("exporting")
