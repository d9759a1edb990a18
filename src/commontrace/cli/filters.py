"""The options that say which traces to consider."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

# Imported when a command runs: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    from commontrace.client import TraceFilter

Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Only traces with this tag; may be repeated.")
]
AnyTags = Annotated[
    list[str] | None, typer.Option("--any-tag", metavar="TAG", help="Only traces with one of these at least.")
]
WithoutTags = Annotated[
    list[str] | None, typer.Option("--without-tag", metavar="TAG", help="Only traces with none of these.")
]
StatusName = Literal["pending", "validated"]
Status = Annotated[StatusName | None, typer.Option(help="Only traces with this status.")]


def trace_filter(
    *,
    tags: Sequence[str] | None,
    any_tags: Sequence[str] | None,
    without_tags: Sequence[str] | None,
    status: StatusName | None,
    contributor_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> "TraceFilter":
    """Returns the filter of the contract. Times are UTC."""
    from commontrace.client import TraceFilter
    from commontrace.v1 import trace_pb2

    traces = TraceFilter(tags_all=tags, tags_any=any_tags, tags_none=without_tags)
    if status is not None:
        traces.statuses.append(trace_pb2.TraceStatus.Value(f"TRACE_STATUS_{status.upper()}"))
    if contributor_id is not None:
        traces.contributor_ids.append(contributor_id)
    if since is not None:
        traces.create_time_from.FromDatetime(since)
    if until is not None:
        traces.create_time_before.FromDatetime(until)
    return traces
