"""Count of traces without a vector, by way of the encoding queue, which is small and mostly empty (ADR 0060)."""

from functools import lru_cache
from typing import NamedTuple

import asyncpg
from sqlalchemy import func, literal_column, select, true

from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.models import EncodingJob, TraceSigns
from commontrace.storage.search import filter_sql

MOST_JOBS = 1_000
"""Jobs that are looked at. Each costs a look-up by key, 2 ms together: as much as a search."""


class PendingCount(NamedTuple):
    """Number of jobs looked at, dead letters included, and of traces among theirs that wait and pass the filter."""

    jobs: int
    passing: int


@lru_cache(maxsize=256)
def pending_statement(kinds: filter_sql.Kinds) -> DriverStatement:
    """Returns the statement of `PendingSearch.count_pending`."""
    queued = select(EncodingJob.trace_id).where(~EncodingJob.has_vector).limit(literal_column(str(MOST_JOBS)))
    jobs = queued.cte("jobs").prefix_with("MATERIALIZED")
    # OFFSET keeps the planner from merging the subquery: each trace is looked up by its key.
    passing = (
        select(TraceSigns.trace_id)
        .where(
            TraceSigns.trace_id == jobs.c.trace_id,
            TraceSigns.is_live,
            TraceSigns.signs.is_(None),
            *filter_sql.conditions_on_signs(kinds),
        )
        .offset(literal_column("0"))
        .lateral("passing")
    )
    return DriverStatement(
        select(func.count(), func.count(passing.c.trace_id)).select_from(jobs.outerjoin(passing, true()))
    )


class PendingSearch:
    """Count of what searches cannot find yet. Runs on a connection of the search pool."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def count_pending(self, trace_filter: ResolvedFilter) -> PendingCount:
        """Returns how many live traces without a vector pass the filter: a lower bound where MOST_JOBS are queued."""
        statement = pending_statement(filter_sql.kinds_of(trace_filter))
        arguments = statement.arguments(filter_sql.parameters(trace_filter))
        return PendingCount._make(await self._connection.fetchrow(statement.sql, *arguments))
