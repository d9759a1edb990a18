"""Reads of traces: list, get, history."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output.ids import Ids, print_ids, require_one_format
from commontrace.cli.output.printing import message_to_dict, print_json, print_list
from commontrace.cli.output.untrusted import UNTRUSTED_FIELDS
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
from commontrace.cli.runtime.server_calls import (
    Address,
    As,
    Json,
    TraceId,
    call_about_trace,
    call_server,
    take_first,
)
from commontrace.domain import limits

if TYPE_CHECKING:
    from commontrace.client import Client
    from commontrace.v1 import trace_pb2, trace_service_pb2


def list_traces(
    *,
    tag: Tags = None,
    any_tag: AnyTags = None,
    without_tag: WithoutTags = None,
    status: Status = None,
    namespace: Namespaces = None,
    by: By = None,
    since: Since = None,
    until: Until = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="List your own traces, deleted ones too.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.", metavar="COUNT")] = 20,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    ids_only: Ids = False,
    as_json: Json = False,
) -> None:
    """List traces, newest first."""
    require_one_format(ids_only=ids_only, as_json=as_json)

    async def ask(client: "Client") -> "Sequence[trace_pb2.Trace]":
        trace_filter = await build_trace_filter(
            client,
            tags=tag,
            any_tags=any_tag,
            without_tags=without_tag,
            status=status,
            by=by,
            since=since,
            until=until,
            namespaces=namespace,
        )
        page_size = min(limit, limits.PAGE_ITEMS)
        return await take_first(limit, client.list(trace_filter, show_deleted=deleted, page_size=page_size))

    found = call_server(address, user, ask)
    if ids_only:
        print_ids(found)
        return
    from commontrace.cli.output.traces import print_traces

    print_list(
        found,
        as_json=as_json,
        to_dict=lambda trace: _without_texts(message_to_dict(trace)),
        print_items=print_traces,
        empty="nothing found",
    )


def get(
    trace_id: TraceId,
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Print one trace in full."""
    trace = call_about_trace(trace_id, address, user, lambda client, whole_id: client.get(whole_id))
    if as_json:
        print_json(message_to_dict(trace) | UNTRUSTED_FIELDS)
    else:
        from commontrace.cli.output.traces import print_trace

        print_trace(trace)


def history(
    trace_id: TraceId,
    *,
    full: Annotated[bool, typer.Option("--full", help="Print the texts, too.")] = False,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Print how a trace's text changed, newest first."""

    async def ask(client: "Client", whole_id: str) -> "list[trace_service_pb2.TraceRevision]":
        return [revision async for revision in client.history(whole_id, full=full)]

    revisions = call_about_trace(trace_id, address, user, ask)
    if not as_json:
        from commontrace.cli.output.traces import print_revisions

        print_revisions(revisions, full=full)
        return
    for revision in revisions:
        fields = message_to_dict(revision)
        print_json(fields if full else _without_texts(fields))


def _without_texts(fields: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields without context and solution, which are empty because the call did not ask for them."""
    return {name: value for name, value in fields.items() if name not in ("context", "solution")}
