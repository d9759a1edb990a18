"""Resolving the namespaces and tags of a trace filter to ids (ADR 0038, 0061)."""

from commontrace.domain.namespaces.access import NamespaceAccess
from commontrace.domain.traces.trace_filter import UNFILTERED, ResolvedFilter, TraceFilter
from commontrace.storage.database import Database


async def resolve(trace_filter: TraceFilter, access: NamespaceAccess, database: Database) -> ResolvedFilter:
    """Returns the filter within its namespaces, with the ids of its tags. Raises NamespaceNotFound."""
    namespaces = access.narrowed(trace_filter.namespaces)
    if trace_filter is UNFILTERED:
        return ResolvedFilter(trace_filter=trace_filter, namespaces=namespaces)
    names = sorted({*trace_filter.tags_all, *trace_filter.tags_any, *trace_filter.tags_none})
    if not names:
        return ResolvedFilter(trace_filter=trace_filter, namespaces=namespaces)
    tag_ids = await database.get_tag_ids(names, namespaces)
    return ResolvedFilter(
        trace_filter=trace_filter,
        namespaces=namespaces,
        tag_ids=tag_ids,
        unknown_tags=tuple(name for name in names if name not in tag_ids),
    )
