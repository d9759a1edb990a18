"""Statements without what keeps them cheap: protections of storage that `unprotected` turns off."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any
from unittest.mock import patch

from sqlalchemy import func, select

from commontrace.domain import limits
from commontrace.storage.models import Tag, TraceTag
from commontrace.storage.search import keyword
from commontrace.storage.search.filter_budget import FilterBudget
from commontrace.storage.traces import repository as trace_repository


@contextmanager
def without_filter_budget() -> Iterator[None]:
    """Metadata and filters by them hold what fits into their bytes, and have the time of any statement."""
    # As many numbers as fit into the bytes that metadata may have, such as `1.0,`.
    fitting = limits.METADATA_BYTES // 4 - 10

    @asynccontextmanager
    async def unbounded(_budget: FilterBudget) -> AsyncIterator[None]:
        yield

    with (
        patch.multiple(limits, METADATA_VALUES=fitting, FILTER_VALUES=fitting),
        patch.object(FilterBudget, "limit", unbounded),
    ):
        yield


def _names_in_order(trace_id: Any) -> Any:
    names = select(Tag.name).join(TraceTag, TraceTag.tag_id == Tag.id).where(TraceTag.trace_id == trace_id)
    return func.array(names.order_by(Tag.name).correlate_except(Tag, TraceTag).scalar_subquery())


def without_word_budget() -> AbstractContextManager[object]:
    """All holders of every word are looked up, however few traces pass a filter."""
    return patch.multiple(keyword, BUDGET=1 << 40, _postings=keyword._postings_by_index)


def with_names_in_order() -> AbstractContextManager[object]:
    """Readers of traces ask Postgres for the names of their tags in order."""
    return patch.object(trace_repository, "tag_names_of", _names_in_order)
