"""The same searches without a server: asyncpg as fast as it gets, in a process of its own.

Prepared statements, binary vectors, autocommit, connections held open, every record read and its text looked at.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg
import numpy as np
import uvloop
from asyncpg.prepared_stmt import PreparedStatement

from bench import orders
from bench.closed_loop import WrongAnswer
from bench.corpus import TAGS_A_TRACE, TEXT_CHARACTERS
from bench.parameters import CONNECTIONS, LIMIT
from commontrace.embeddings.embedder import Vector
from commontrace.storage import engines, vector_type
from commontrace.storage.search.neighbours import candidate_count
from commontrace.storage.traces.repository import TraceRow

_TAG_NAMES = (
    "ARRAY(SELECT name FROM tags JOIN trace_tags ON tag_id = tags.id WHERE trace_id = traces.id ORDER BY name) AS tags"
)
# What a row has that is no column.
_COMPUTED = {
    "tags": _TAG_NAMES,
    "is_encoded": "embedding_model_id IS NOT NULL AS is_encoded",
    "namespace": "(SELECT name FROM namespaces WHERE namespaces.id = traces.namespace_id) AS namespace",
}
COLUMNS = ", ".join(_COMPUTED.get(field, f"traces.{field}") for field in TraceRow._fields)
# What an unfiltered search of the server considers.
LIVE = "deleted_at IS NULL AND superseded_by_id IS NULL"
_DIMENSIONS = "SELECT atttypmod FROM pg_attribute WHERE attrelid = 'traces'::regclass AND attname = 'embedding'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """The statements of one connection."""

    nearest_rows: PreparedStatement
    nearest_rows_by_id: PreparedStatement
    nearest_ids: PreparedStatement
    rows: PreparedStatement


Rows = list[Any]


async def one_statement(prepared: Prepared, vector: Vector, model_id: str) -> Rows:
    """Returns whole rows from the index scan itself."""
    return list(await prepared.nearest_rows.fetch(vector, model_id))


async def one_statement_by_id(prepared: Prepared, vector: Vector, model_id: str) -> Rows:
    """Returns the rows of ids that a common table expression finds."""
    return list(await prepared.nearest_rows_by_id.fetch(vector, model_id))


async def two_statements(prepared: Prepared, vector: Vector, model_id: str) -> Rows:
    """Returns the rows of ids that were asked for first, as the server does."""
    found = await prepared.nearest_ids.fetch(vector, model_id)
    distances = {row["id"]: row["distance"] for row in found}
    return [{**row, "distance": distances[row["id"]]} for row in await prepared.rows.fetch(list(distances))]


FORMS: dict[str, Callable[[Prepared, Vector, str], Awaitable[Rows]]] = {
    "one statement": one_statement,
    "one statement by id": one_statement_by_id,
    "two statements": two_statements,
}


def order(form: str, kind: str) -> str:
    """Returns the search by vectors of this kind in this form."""
    return f"{form}, {kind}"


async def main(task: orders.Task) -> None:
    """Carries out orders to search by every form for every kind of vector."""
    vectors = np.load(task.vectors)
    async with searching(task) as search:

        async def ask(form: str, kind: str, number: int) -> None:
            queries = vectors_by_kind[kind]
            look_at(await search(form, queries[number % len(queries)]))

        vectors_by_kind = {kind: list(vectors[kind]) for kind in vectors.files}
        await orders.obey({order(form, kind): partial(ask, form, kind) for form in FORMS for kind in vectors_by_kind})


@asynccontextmanager
async def searching(task: orders.Task) -> AsyncIterator[Callable[[str, Vector], Awaitable[Rows]]]:
    """Yields the search in a form, by a vector, on connections that are held open."""
    async with connections(task) as idle:
        gate = asyncio.Semaphore(len(idle))

        async def search(form: str, vector: Vector) -> Rows:
            # First come, first served; of what is idle, the connection used last.
            async with gate:
                prepared = idle.pop()
                try:
                    rows = await FORMS[form](prepared, vector, task.model_id)
                finally:
                    idle.append(prepared)
            return in_order(rows)

        yield search


def in_order(rows: Rows) -> Rows:
    """Returns the rows as the server sends them."""
    return sorted(rows, key=lambda row: (row["distance"], row["id"]))


def look_at(rows: Rows) -> None:
    """Looks at every row. Raises WrongAnswer."""
    if len(rows) != LIMIT:
        raise WrongAnswer(f"{len(rows)} rows instead of {LIMIT}")
    for row in rows:
        if len(row["context_text"]) + len(row["solution_text"]) != 2 * TEXT_CHARACTERS:
            raise WrongAnswer("a text is not whole")
        if len(row["tags"]) != TAGS_A_TRACE:
            raise WrongAnswer(f"{len(row['tags'])} tags instead of {TAGS_A_TRACE}")


@asynccontextmanager
async def connections(task: orders.Task) -> AsyncIterator[list[Prepared]]:
    """Yields connections set like the server's for searches.

    Not asyncpg's pool: it would spend a round trip on resetting a connection that nothing has changed.
    """
    settings = {
        **engines.SESSION_SETTINGS,
        **engines.SEARCH_SETTINGS,
        "hnsw.ef_search": str(task.ef_search),
        # Planning anew for every vector costs more than anything else but the search itself.
        "plan_cache_mode": "force_generic_plan",
    }
    idle: list[Prepared] = []
    async with AsyncExitStack() as opened:
        for _ in range(CONNECTIONS):
            connection = await asyncpg.connect(task.dsn, server_settings=settings)
            opened.push_async_callback(connection.close)
            await vector_type.register(connection)
            idle.append(await _prepared(connection, ef_search=task.ef_search))
        yield idle


async def nearest_sql(connection: asyncpg.Connection, columns: str, conditions: str, *, ef_search: int) -> str:
    """Returns the statement of the nearest traces: candidates by the index, re-ranked by the full vectors ($1).

    As many candidates as the server takes.
    """
    halves = f"halfvec({await connection.fetchval(_DIMENSIONS)})"
    candidates = candidate_count(LIMIT, ef_search=ef_search)
    return (
        f"WITH candidates AS MATERIALIZED (SELECT {columns}, embedding <=> $1 AS distance FROM traces"  # noqa: S608 - constants
        f" WHERE {LIVE} AND {conditions} ORDER BY embedding::{halves} <=> (SELECT $1::vector::{halves})"
        f" LIMIT {candidates}) SELECT * FROM candidates ORDER BY distance, id LIMIT {LIMIT}"
    )


async def _prepared(connection: asyncpg.Connection, *, ef_search: int) -> Prepared:
    of_model = "embedding_model_id = $2"
    ids = await nearest_sql(connection, "id", of_model, ef_search=ef_search)
    return Prepared(
        nearest_rows=await connection.prepare(await nearest_sql(connection, COLUMNS, of_model, ef_search=ef_search)),
        nearest_rows_by_id=await connection.prepare(
            f"WITH nearest AS MATERIALIZED ({ids}) SELECT {COLUMNS}, distance FROM nearest JOIN traces USING (id)"  # noqa: S608 - constants
        ),
        nearest_ids=await connection.prepare(ids),
        rows=await connection.prepare(f"SELECT {COLUMNS} FROM traces WHERE id = ANY($1) AND {LIVE}"),  # noqa: S608
    )


if __name__ == "__main__":
    uvloop.run(main(orders.task()))
