"""Bulk import: the vector index is dropped before many traces are stored, and built once afterwards (ADR 0063)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from commontrace.storage.imports.bulk_loading import BulkLoading

log = structlog.get_logger()


@asynccontextmanager
async def without_vector_index(
    loading: BulkLoading, *, new_count: int | None, is_forced: bool = False
) -> AsyncIterator[bool]:
    """Drops the vector index while the block stores `new_count` traces, None for an unknown number; then builds it.

    It stays where the block stores fewer traces than there are, unless `is_forced`. Yields True if there is no index.
    A block that fails, or a process that is killed, leaves the database without one: the next bulk import goes on so.
    Raises DatabaseUnavailable.
    """
    if await loading.has_index() and not is_forced:
        stored = await loading.count_traces()
        if new_count is None or new_count <= stored:
            log.info("the vector index stays: no more traces come than are there", stored=stored, new=new_count)
            yield False
            return
    log.info("searches go by the signs of the vectors until the vector index is built again")
    await loading.drop_index()
    yield True
    log.info("building the vector index")
    await loading.build_index()
