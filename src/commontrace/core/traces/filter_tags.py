"""Resolving the tags of a trace filter to ids (ADR 0038)."""

from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.storage.database import Database


async def resolve_tags(trace_filter: TraceFilter, database: Database) -> ResolvedFilter:
    """Returns the filter with the ids of its tags, aliases resolved."""
    names = sorted({*trace_filter.tags_all, *trace_filter.tags_any, *trace_filter.tags_none})
    if not names:
        return ResolvedFilter(trace_filter=trace_filter, tag_ids={})
    tag_ids = await database.get_tag_ids(names)
    return ResolvedFilter(
        trace_filter=trace_filter, tag_ids=tag_ids, unknown_tags=tuple(name for name in names if name not in tag_ids)
    )
