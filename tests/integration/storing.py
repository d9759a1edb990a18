"""What the tests of the storage layer store and ask."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import text

from commontrace.core import contributing
from commontrace.core.contributing import OnDuplicate
from commontrace.core.traces import Contribution, NewTrace
from commontrace.embeddings.embedder import Embedder, Vector
from commontrace.embeddings.local_model import PUBLISHED
from commontrace.embeddings.model_directory import WEIGHTS_FILE
from commontrace.storage.database import Database
from commontrace.storage.trace_search import ApproximateSearch
from commontrace.storage.unit_of_work import Reading

EMAIL = "ada@example.org"
INSTALLED_VERSION = PUBLISHED[WEIGHTS_FILE][:12]


def unit_vector(seed: int, dimensions: int = 384) -> Vector:
    vector = np.random.default_rng(seed).standard_normal(dimensions)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def a_trace(contributor_id: UUID, **changes: Any) -> NewTrace:
    trace = NewTrace(
        id=uuid4(),
        title="title",
        context="context",
        solution="solution",
        embedding=unit_vector(0),
        embedding_model_id="model",
        embedding_model_version="1",
        status="pending",
        contributor_id=contributor_id,
        agent_model="",
        agent_version="",
        metadata={},
        is_seed=False,
    )
    return replace(trace, **changes)


async def stored(database: Database, **changes: Any) -> UUID:
    async with database.unit_of_work() as work:
        trace = a_trace(await work.users.ensure(EMAIL), **changes)
        await work.traces.add(trace)
    return trace.id


async def run(asked: Reading | ApproximateSearch, sql: str, **parameters: Any) -> Any:
    # Questions ask repositories; these tests ask the connection behind them.
    if isinstance(asked, ApproximateSearch):
        return await asked._connection.fetchval(sql, *parameters.values())
    return (await asked.search._connection.execute(text(sql), parameters)).scalar()


async def knows(database: Database, email: str) -> bool:
    return await database.read(lambda reading: reading.users.id_of(email)) is not None


async def contributed(contribution: Contribution, email: str, database: Database, embedder: Embedder) -> UUID:
    """Contributes as the server does, beside whatever has the same content."""
    prepared = await contributing.prepare(
        contribution, on_duplicate=OnDuplicate.ALLOW, supersedes_id=None, database=database, embedder=embedder
    )
    async with database.unit_of_work() as work:
        return (await prepared.store(work, await work.users.ensure(email))).trace.id
