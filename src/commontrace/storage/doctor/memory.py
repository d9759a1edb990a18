"""Sizes of what searches read, and of the memory that Postgres keeps it in."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.doctor.memory import MemoryFacts
from commontrace.storage.models import VECTOR_INDEX_NAME, Trace, TraceSigns

# The main forks: long texts and full vectors are beside them, and read for the candidates of a search alone.
_FACTS = """
    SELECT COALESCE(pg_relation_size(to_regclass(:index)), 0) AS vector_index,
        (SELECT COALESCE(sum(pg_relation_size(to_regclass(name))), 0)::bigint
            FROM unnest(CAST(:tables AS text[])) AS name) AS tables,
        pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers,
        pg_size_bytes(current_setting('effective_cache_size')) AS cache"""


async def get_memory(connection: AsyncConnection) -> MemoryFacts:
    """Returns the sizes; zero for what does not exist."""
    tables = [Trace.__tablename__, TraceSigns.__tablename__]
    [row] = await connection.execute(text(_FACTS), {"index": VECTOR_INDEX_NAME, "tables": tables})
    return MemoryFacts(**row._mapping)
