"""Traces and filters for the tests of the storage layer."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import text

from commontrace.core.search.selectivity import FilterSelectivityCache
from commontrace.core.traces import create as trace_creation
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.traces.contribution import Contribution, NewTrace, OnDuplicate
from commontrace.domain.traces.trace_filter import TraceFilter
from commontrace.embeddings.embedder import Embedder, Vector
from commontrace.embeddings.local.model import PUBLISHED
from commontrace.embeddings.local.model_directory import WEIGHTS_FILE
from commontrace.embeddings.local.text_reading import NEWEST
from commontrace.storage.database import Database
from commontrace.storage.search.neighbours import ApproximateSearch
from commontrace.storage.unit_of_work import Reading
from tests.conftest import administer

EMAIL = "ada@example.org"
INSTALLED_VERSION = NEWEST.version(PUBLISHED[WEIGHTS_FILE][:12])


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
        trace = a_trace(await work.users.get_or_create(EMAIL), **changes)
        await work.trace_creation.add(trace)
    return trace.id


RARE_COUNT = 10
RARE = (TraceFilter(statuses=("validated",)), TraceFilter(agent_models=("rare",)))
"""Filters that as many of `store_many` pass."""


async def store_many(database: Database, database_url: str) -> None:
    """Stores 10,000 traces, one a second."""
    await stored(database)
    await administer(
        database_url,
        "INSERT INTO traces (id, title, context_text, solution_text, contributor_id, created_at, status, agent_model)"
        " SELECT gen_random_uuid(), 'title', 'context', 'solution', contributor_id,"
        " timestamptz '2026-03-01 12:00Z' + n * interval '1 second',"
        " CASE WHEN n <= 10 THEN 'validated' ELSE 'pending' END, CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'common' END"
        " FROM traces, generate_series(1, 10000) n",
    )
    await administer(database_url, "ANALYZE traces, trace_signs")


async def run(asked: Reading | ApproximateSearch, sql: str, **parameters: Any) -> Any:
    # Questions ask repositories; these tests ask the connection behind them.
    if isinstance(asked, ApproximateSearch):
        return await asked._connection.fetchval(sql, *parameters.values())
    return (await asked.exact_search._connection.execute(text(sql), parameters)).scalar()


async def knows(database: Database, email: str) -> bool:
    return await database.read(lambda reading: reading.users.get_id(email)) is not None


async def contributed(contribution: Contribution, email: str, database: Database, embedder: Embedder) -> UUID:
    """Contributes as the server does, beside whatever has the same content."""
    prepared = await trace_creation.prepare(
        contribution,
        COMMONS_ONLY,
        on_duplicate=OnDuplicate.ALLOW,
        supersedes_id=None,
        database=database,
        embedder=embedder,
        selectivities=FilterSelectivityCache(),
    )
    async with database.unit_of_work() as work:
        return (await prepared.store(work, await work.users.get_or_create(email))).trace.id
