"""Exports of the first traces of a corpus, through gRPC and by raw asyncpg, in a process of its own.

The raw side reads the same columns in keyset pages of the same size: a prepared statement, binary vectors, every record
read and its text looked at.
"""

from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import asyncpg
import numpy as np
import uvloop

from bench import orders
from bench.closed_loop import WrongAnswer
from bench.corpus import TAGS_A_TRACE, TEXT_CHARACTERS
from commontrace.client import Client, connect
from commontrace.domain import limits
from commontrace.storage import engines, vector_type

GRPC, RAW = "gRPC", "raw asyncpg"

_COLUMNS = """
id, created_at, title, context_text, solution_text, agent_model, agent_version, metadata_json, content_hash,
supersedes_id,
ARRAY(SELECT name FROM tags JOIN trace_tags ON tag_id = tags.id WHERE trace_id = traces.id ORDER BY name) AS tags"""
_BEGINNING = (datetime.min.replace(tzinfo=UTC), UUID(int=0))


def order(side: str, *, with_vectors: bool) -> str:
    """Returns what one side is told to do."""
    return f"{side}, with vectors" if with_vectors else side


async def main(task: orders.Task) -> None:
    """Carries out orders to export, by each side, with vectors and without."""
    connection = await asyncpg.connect(task.dsn, server_settings=engines.SESSION_SETTINGS)
    await vector_type.register(connection)
    async with connect(task.address) as client:
        await orders.obey(
            {
                order(side, with_vectors=with_vectors): partial(export, with_vectors, task.exported)
                for with_vectors in (False, True)
                for side, export in ((GRPC, partial(_through_grpc, client)), (RAW, partial(_by_asyncpg, connection)))
            }
        )
    await connection.close()


async def _through_grpc(client: Client, with_vectors: bool, due: int, _number: int) -> None:  # noqa: FBT001 - as ordered
    count = 0
    async with aclosing(client.export_traces(embeddings=with_vectors)) as records:
        async for record in records:
            vector = np.frombuffer(record.embedding.packed_f32, dtype="<f4")
            _look_at(
                len(record.context) + len(record.solution), len(record.tags), len(vector), with_vectors=with_vectors
            )
            count += 1
            if count == due:
                break
    _all_came(count, due)


async def _by_asyncpg(connection: asyncpg.Connection, with_vectors: bool, due: int, _number: int) -> None:  # noqa: FBT001
    columns = f"{_COLUMNS}, embedding_model_id, embedding" if with_vectors else _COLUMNS
    page = await connection.prepare(
        f"SELECT {columns} FROM traces WHERE deleted_at IS NULL AND (created_at, id) > ($1, $2)"  # noqa: S608
        f" ORDER BY created_at, id LIMIT {limits.EXPORT_TRACES_DEFAULT}"
    )
    after, count = _BEGINNING, 0
    while count < due and (rows := await page.fetch(*after)):
        for row in rows:
            dimensions = len(row["embedding"]) if with_vectors else 0
            _look_at(
                len(row["context_text"]) + len(row["solution_text"]),
                len(row["tags"]),
                dimensions,
                with_vectors=with_vectors,
            )
        count += len(rows)
        after = (rows[-1]["created_at"], rows[-1]["id"])
    _all_came(count, due)


def _look_at(characters: int, tags: int, dimensions: int, *, with_vectors: bool) -> None:
    if characters != 2 * TEXT_CHARACTERS:
        raise WrongAnswer("a text is not whole")
    if tags != TAGS_A_TRACE:
        raise WrongAnswer(f"{tags} tags instead of {TAGS_A_TRACE}")
    if bool(dimensions) != with_vectors:
        raise WrongAnswer(f"a vector of {dimensions} dimensions")


def _all_came(count: int, due: int) -> None:
    if count < due:
        raise WrongAnswer(f"{count} traces instead of {due}")


if __name__ == "__main__":
    uvloop.run(main(orders.task()))
