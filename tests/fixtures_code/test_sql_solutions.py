"""The SQL of the pgvector and the index solution runs on a real Postgres; EXPLAIN proves what they say of plans."""

import re

import asyncpg
import pytest
from packaging.version import Version

from tests.fixtures_code.solutions import Block, block, read_trace

VECTOR_TABLE = block("pgvector-hnsw-cosine-index-not-used", "sql", 0)
VECTOR_INDEX = block("pgvector-hnsw-cosine-index-not-used", "sql", 1)
VECTOR_SEARCH = block("pgvector-hnsw-cosine-index-not-used", "sql", 2)
VECTOR_EXACT = block("pgvector-hnsw-cosine-index-not-used", "sql", 3)
ORDERS_TABLE = block("postgresql-partial-covering-index", "sql", 0)
ORDERS_INDEX = block("postgresql-partial-covering-index", "sql", 1)
ORDERS_QUERY = block("postgresql-partial-covering-index", "sql", 2)
ORDERS_PLAN = block("postgresql-partial-covering-index", "text", 0)
ORDERS_UNUSED = block("postgresql-partial-covering-index", "sql", 3)

# 4,000 random documents; tenant 7 owns every tenth.
DOCUMENTS = """
INSERT INTO documents (tenant_id, body, embedding)
SELECT CASE WHEN n % 10 = 0 THEN 7 ELSE n % 9 + 10 END, 'document ' || n, array_agg(random() - 0.5)::vector(384)
FROM generate_series(1, 4000) AS n, generate_series(1, 384) AS dimension GROUP BY n
"""


def _statements(code: str) -> list[str]:
    return [statement.strip() for statement in re.split(r";$", code, flags=re.MULTILINE) if statement.strip()]


async def _run(connection: asyncpg.Connection, code: str, *arguments: object) -> list[asyncpg.Record]:
    """Each statement by itself, as psql does; the rows of the one SELECT or EXPLAIN."""
    rows: list[asyncpg.Record] = []
    for statement in _statements(code):
        if statement.startswith(("SELECT", "EXPLAIN")):
            rows = await connection.fetch(statement, *arguments)
        else:
            await connection.execute(statement)
    return rows


def _explained(search: Block) -> str:
    return re.sub(r"^SELECT", "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT", search.code, flags=re.MULTILINE)


async def _plan(connection: asyncpg.Connection, code: str, *arguments: object) -> str:
    return "\n".join(row[0] for row in await _run(connection, code, *arguments))


@pytest.fixture
async def documents(connection: asyncpg.Connection) -> str:
    """The solution's table, filled and analysed, without its HNSW index; one query vector."""
    await _run(connection, VECTOR_TABLE.code)
    await connection.execute(f"SELECT setseed(0.5); {DOCUMENTS}; ANALYZE documents")
    query: str = await connection.fetchval("SELECT embedding::text FROM documents WHERE id = 17")
    return query


async def test_only_the_matching_operator_class_and_the_bare_distance_use_the_index(
    connection: asyncpg.Connection, documents: str
) -> None:
    nearest = "EXPLAIN SELECT id FROM documents ORDER BY embedding <=> $1 LIMIT 10"
    by_similarity = "EXPLAIN SELECT id FROM documents ORDER BY 1 - (embedding <=> $1) DESC LIMIT 10"

    await _run(connection, VECTOR_INDEX.altered("vector_cosine_ops", "vector_l2_ops"))
    plan = await _plan(connection, nearest, documents)
    assert "documents_embedding_hnsw" not in plan
    assert re.search(r"Sort Key: .*embedding <=> ", plan)
    await connection.execute("SET enable_seqscan = off")
    assert "documents_embedding_hnsw" not in await _plan(connection, nearest, documents)
    await connection.execute("RESET enable_seqscan; DROP INDEX documents_embedding_hnsw")

    await _run(connection, VECTOR_INDEX.code)
    assert "Index Scan using documents_embedding_hnsw" in await _plan(connection, nearest, documents)
    assert "Seq Scan on documents" in await _plan(connection, by_similarity, documents)


async def test_an_iterative_scan_fills_a_filtered_search(connection: asyncpg.Connection, documents: str) -> None:
    await _run(connection, VECTOR_INDEX.code)
    short = VECTOR_SEARCH.altered("SET LOCAL hnsw.iterative_scan = 'strict_order';\n", "")
    assert len(await _run(connection, short, documents, 7)) < 10
    plan = await _plan(connection, _explained(VECTOR_SEARCH), documents, 7)
    assert "Index Scan using documents_embedding_hnsw" in plan

    found = await _run(connection, VECTOR_SEARCH.code, documents, 7)
    similarities = [row["similarity"] for row in found]
    assert len(found) == 10
    assert similarities == sorted(similarities, reverse=True)
    assert await connection.fetchval("SHOW hnsw.iterative_scan") == "off"


async def test_the_exact_query_avoids_the_index_and_tells_the_truth(
    connection: asyncpg.Connection, documents: str
) -> None:
    await _run(connection, VECTOR_INDEX.code)
    assert "documents_embedding_hnsw" not in await _plan(connection, _explained(VECTOR_EXACT), documents, 7)
    exact = await _run(connection, VECTOR_EXACT.code, documents, 7)
    brute = "SELECT id FROM documents WHERE tenant_id = $2 ORDER BY (embedding <=> $1) + 0 LIMIT 10"
    assert exact == await connection.fetch(brute, documents, 7)


async def test_pgvectors_limits_are_as_described(connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE EXTENSION vector; CREATE TABLE wide (embedding vector(3072))")
    with pytest.raises(asyncpg.PostgresError, match="cannot have more than 2000 dimensions"):
        await connection.execute("CREATE INDEX ON wide USING hnsw (embedding vector_cosine_ops)")
    cast = re.search(r"\(\(embedding::halfvec\(3072\)\) \w+\)", read_trace(VECTOR_TABLE.slug)["solution"])
    assert cast is not None
    await connection.execute(f"CREATE INDEX ON wide USING hnsw {cast[0]}")
    assert str(await connection.fetchval("SELECT '[0,0]'::vector <=> '[1,0]'::vector")) == "nan"
    with pytest.raises(asyncpg.PostgresError, match="outside the valid range"):
        await connection.execute("SET hnsw.ef_search = 1001")
    assert await connection.fetchval("SHOW hnsw.ef_search") == "40"
    assert await connection.fetchval("SHOW hnsw.max_scan_tuples") == "20000"

    stated = read_trace(VECTOR_TABLE.slug)["metadata"]["verified_with"]
    installed = await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    assert Version(stated["pgvector"]) <= Version(installed)
    assert Version(stated["postgresql"]) <= Version((await connection.fetchval("SHOW server_version")).split()[0])


def _pages(plan: str) -> int:
    """What the topmost node read, from the cache or from outside."""
    line = re.search(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?", plan)
    assert line is not None
    return sum(int(number) for number in line.groups() if number)


async def test_the_partial_covering_index_answers_from_three_pages(connection: asyncpg.Connection) -> None:
    await _run(connection, ORDERS_TABLE.code)
    before = await _plan(connection, ORDERS_QUERY.code)
    for node in ("Sort Method: top-N heapsort", "Heap Blocks: exact=118", "BitmapAnd"):
        assert node in before
        assert node in read_trace(ORDERS_QUERY.slug)["context"]
    assert _pages(before) == 133

    await _run(connection, ORDERS_INDEX.code)
    after = await _plan(connection, ORDERS_QUERY.code)
    without_counts = re.compile(r" \(actual.*\)")
    lines = {without_counts.sub("", line).strip() for line in after.splitlines()}
    claimed = [without_counts.sub("", line).strip() for line in ORDERS_PLAN.code.splitlines()]
    assert [line for line in claimed if line not in lines] == []
    assert _pages(after) == 3
    assert "Sort" not in after

    size = "SELECT pg_relation_size('orders_open_by_customer')::float / pg_relation_size('orders_customer_id')"
    assert 0.3 < await connection.fetchval(size) < 0.37


async def test_a_parameter_for_the_status_keeps_a_generic_plan_off_the_partial_index(
    connection: asyncpg.Connection,
) -> None:
    await _run(connection, ORDERS_TABLE.code + ORDERS_INDEX.code)
    query = re.sub(r"EXPLAIN.*\n", "", ORDERS_QUERY.code).replace("= 42", "= $1")
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE literal (integer) AS {query}")
    with_parameter = query.replace("'open'", "$2")
    await connection.execute(f"PREPARE parameter (integer, text) AS {with_parameter}")
    assert "orders_open_by_customer" in await _plan(connection, "EXPLAIN EXECUTE literal (42)")
    assert "orders_open_by_customer" not in await _plan(connection, "EXPLAIN EXECUTE parameter (42, 'open')")


async def test_the_last_query_lists_unused_and_invalid_indexes(connection: asyncpg.Connection) -> None:
    await _run(connection, ORDERS_TABLE.code + ORDERS_INDEX.code + ORDERS_QUERY.code)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY half_built ON orders (customer_id)")
    await connection.execute("SELECT pg_stat_force_next_flush()")
    listed = {row["index"]: (row["valid"], row["scans"]) for row in await _run(connection, ORDERS_UNUSED.code)}
    assert listed == {"orders_customer_id": (True, 0), "orders_status": (True, 0), "half_built": (False, 0)}
