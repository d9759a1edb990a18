"""The same writes without a server: what a create and a vote store, by asyncpg, in a process of its own.

Prepared statements, binary vectors, one transaction each. Nothing is checked, encoded, or looked up.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import uvloop

from bench import corpus, orders, writes
from bench.parameters import CONNECTIONS
from commontrace.domain.votes.trust import Tally, trust_score
from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import engines, vector_type

_ENCODED = 2_000
"""Different vectors, of the texts that the server encodes; enough for what is created in a run."""

_TRACE = """
    INSERT INTO traces (id, title, context_text, solution_text, embedding, embedding_model_id, embedding_model_version,
        contributor_id, content_hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, uuid_send($1))"""
_REVISION = """
    INSERT INTO trace_revisions (trace_id, revision, title, context_text, solution_text, changed_fields, editor_id)
    VALUES ($1, 1, $2, $3, $4, '{title,context,solution}', $5)"""
_TAGS = "INSERT INTO trace_tags (trace_id, tag_id) SELECT $1, unnest($2::uuid[])"
_EVENT = "INSERT INTO trace_events (trace_id, event_type, revision) VALUES ($1, 'created', 1)"
_LOCK = "SELECT revision FROM traces WHERE id = $1 FOR NO KEY UPDATE"
_VOTE = """
    INSERT INTO votes (id, trace_id, voter_id, vote_type, comment, revision) VALUES ($1, $2, $3, 'up', '', $4)
    ON CONFLICT (trace_id, voter_id) DO UPDATE SET vote_type = excluded.vote_type, revision = excluded.revision
    RETURNING (
        SELECT count(*) FROM votes AS other
        WHERE trace_id = votes.trace_id AND revision = votes.revision AND voter_id <> votes.voter_id)"""
_COUNT = "UPDATE traces SET confirmation_count = $2, trust_score = $3 WHERE id = $1"

_USER = """
    INSERT INTO users (id, email) VALUES ($1, $2)
    ON CONFLICT (email) DO UPDATE SET email = users.email RETURNING id"""


async def main(task: orders.Task) -> None:
    """Carries out orders to create new traces, and to vote for those there are."""
    async with _connections(task.dsn) as idle:
        connection = idle[0]
        trace_ids = await writes.voted_traces(connection)
        tag_ids = dict(await connection.fetch("SELECT name, id FROM tags"))
        [model] = await connection.fetch("SELECT id, version, dimensions FROM embedding_models WHERE is_current")
        users = [await connection.fetchval(_USER, uuid4(), f"raw-{number}@example.org") for number in range(100)]
        texts = corpus.texts(writes.DIFFERENT_TEXTS)
        vectors = await _vectors(texts, model["dimensions"])
        gate = asyncio.Semaphore(len(idle))

        async def create(connection: asyncpg.Connection, number: int) -> None:
            trace = writes.trace(number, texts)
            trace_id, shown = uuid4(), (trace.title, trace.context, trace.solution)
            vector = vectors[number % len(vectors)]
            await connection.fetch(_TRACE, trace_id, *shown, vector, model["id"], model["version"], users[0])
            await connection.fetch(_REVISION, trace_id, *shown, users[0])
            await connection.fetch(_TAGS, trace_id, [tag_ids[name] for name in trace.tags])
            await connection.fetch(_EVENT, trace_id)

        async def vote(connection: asyncpg.Connection, number: int) -> None:
            user, trace_id = users[number // len(trace_ids) % len(users)], UUID(trace_ids[number % len(trace_ids)])
            revision = await connection.fetchval(_LOCK, trace_id)
            up_count = 1 + await connection.fetchval(_VOTE, uuid4(), trace_id, user, revision)
            await connection.fetch(_COUNT, trace_id, up_count, trust_score(Tally(up_count=up_count)))

        def in_transaction(write: Callable[[asyncpg.Connection, int], Awaitable[None]]) -> Any:
            async def ask(number: int) -> None:
                async with gate:
                    connection = idle.pop()
                    try:
                        await connection.execute("BEGIN")
                        await write(connection, number)
                        await connection.execute("COMMIT")
                    finally:
                        idle.append(connection)

            return ask

        await orders.obey({writes.CREATE: in_transaction(create), writes.VOTE: in_transaction(vote)})


async def _vectors(texts: list[str], dimensions: int) -> list[Vector]:
    numbers = (writes.trace(number, texts) for number in range(_ENCODED))
    traces = [f"{one.title}\n\n{one.context}\n\n{one.solution}" for one in islice(numbers, _ENCODED)]
    return [one.vector for one in await LexicalEmbedder(dimensions).encode(traces)]


@asynccontextmanager
async def _connections(dsn: str) -> AsyncIterator[list[asyncpg.Connection]]:
    idle: list[asyncpg.Connection] = []
    async with AsyncExitStack() as opened:
        for _ in range(CONNECTIONS):
            connection = await asyncpg.connect(dsn, server_settings=engines.SESSION_SETTINGS)
            opened.push_async_callback(connection.close)
            await vector_type.register(connection)
            idle.append(connection)
        yield idle


if __name__ == "__main__":
    uvloop.run(main(orders.task()))
