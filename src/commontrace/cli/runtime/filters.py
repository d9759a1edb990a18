"""Filter options of commands that list or search traces, and the contract's TraceFilter made from them."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import typer

from commontrace.cli.runtime.namespaces import VARIABLE
from commontrace.cli.runtime.short_ids import resolve_contributor_id
from commontrace.cli.runtime.times import parse_time

if TYPE_CHECKING:
    from commontrace.client import Client, TraceFilter

Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Only traces with this tag; may be repeated.")
]
AnyTags = Annotated[
    list[str] | None, typer.Option("--any-tag", metavar="TAG", help="Only traces with one of these at least.")
]
WithoutTags = Annotated[
    list[str] | None, typer.Option("--without-tag", metavar="TAG", help="Only traces with none of these.")
]
Namespaces = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace", envvar=VARIABLE, metavar="NAME", help="Only traces of this namespace; may be repeated."
    ),
]
StatusName = Literal["pending", "validated"]
Status = Annotated[StatusName | None, typer.Option(help="Only traces with this status.")]
By = Annotated[str | None, typer.Option(metavar="ID", help="Only this contributor's; `me` means yours.")]
Since = Annotated[
    datetime | None,
    typer.Option(parser=parse_time, metavar="TIME", help="Only contributed at this time (UTC) or later."),
]
Until = Annotated[
    datetime | None, typer.Option(parser=parse_time, metavar="TIME", help="Only contributed before this time (UTC).")
]


async def build_trace_filter(
    client: "Client",
    *,
    tags: Sequence[str] | None,
    any_tags: Sequence[str] | None,
    without_tags: Sequence[str] | None,
    status: StatusName | None,
    by: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    include_superseded: bool = False,
    namespaces: Sequence[str] | None = None,
) -> "TraceFilter":
    """Returns the filter for the options of a command; `by` is an id, a prefix of one, or `me`. Times are UTC."""
    from commontrace.client import TraceFilter
    from commontrace.v1 import trace_pb2

    trace_filter = TraceFilter(
        tags_all=tags,
        tags_any=any_tags,
        tags_none=without_tags,
        include_superseded=include_superseded,
        namespaces=namespaces,
    )
    if status is not None:
        trace_filter.statuses.append(trace_pb2.TraceStatus.Value(f"TRACE_STATUS_{status.upper()}"))
    if by is not None:
        trace_filter.contributor_ids.append(await _find_contributor_id(by, client))
    if since is not None:
        trace_filter.create_time_from.FromDatetime(since)
    if until is not None:
        trace_filter.create_time_before.FromDatetime(until)
    return trace_filter


async def _find_contributor_id(by: str, client: "Client") -> str:
    """Returns the whole id of a contributor, for `me` that of the caller."""
    if by != "me":
        return await resolve_contributor_id(by, client)
    # A caller who has never written anything has no id: the nil UUID matches no trace.
    return (await client.service_info()).caller.user_id or str(UUID(int=0))
