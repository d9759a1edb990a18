"""One database that grows: what a search takes and what all of it occupies; at its full size, beside raw searches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import numpy as np
from numpy.typing import NDArray

from bench import (
    agreement,
    corpora,
    corpus,
    filtering,
    grpc_driver,
    iterative,
    iterative_driver,
    loading,
    memory,
    narrowing,
    recall,
)
from bench.comparing import Compared, compare
from bench.filtering import Filtered
from bench.iterative import Baseline
from bench.measuring import Measured, Measuring, Search
from bench.orders import Task
from bench.parameters import LIMIT, Parameters
from bench.processes import Driver, driving, serving
from commontrace.client import connect
from commontrace.domain.search.query import candidates_for
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.embedded_postgres import instance as embedded_postgres

_FEWEST = 1_000
_BASELINE_CALLERS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One size: searches by one caller, the building of the whole index, and bytes."""

    traces: int
    measured: Measured
    index_seconds: float
    server_bytes: int
    postgres_bytes: int
    database_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """All sizes, and what was measured at the largest."""

    steps: Sequence[Step]
    raw_forms: Sequence[Measured]
    searches: Sequence[Compared]
    filters: Sequence[Filtered]
    baselines: Sequence[Baseline]
    """Raw iterative scans under the filter of 5 %: the usual ef_search, then the one that counts."""

    @property
    def baseline(self) -> Baseline:
        """The raw filtered search that counts."""
        return self.baselines[-1]

    @property
    def filtered(self) -> float:
        """The server's rate under the filter of 5 % by 16 callers, where the raw one's is 1."""
        return self.baseline.through_grpc.per_second / self.baseline.measured.per_second

    @property
    def of_p50(self) -> float:
        """What a search takes at the largest size, where it takes 1 at the smallest."""
        return self.steps[-1].measured.p50_ms / self.steps[0].measured.p50_ms

    def all_measured(self) -> list[Measured]:
        """Returns every row."""
        return [
            *(step.measured for step in self.steps),
            *self.raw_forms,
            *(one.measured for one in self.searches),
            *(measured for one in self.filters for measured in one.measured),
            *(measured for one in self.baselines for measured in (one.measured, one.through_grpc)),
        ]


async def measure(parameters: Parameters, postgres: embedded_postgres.EmbeddedPostgres, place: Path) -> Growth:
    """Fills a database step by step and measures. Raises RunFailed, CallFailed."""
    embedder = LexicalEmbedder(parameters.dimensions)
    embeddings = corpus.vectors(parameters.large, embedder.dimensions, seed=2)
    queries = corpus.vectors(parameters.queries, embedder.dimensions, seed=3)
    vectors = place / "large.npz"
    np.savez(vectors, embedding=queries, text=queries)
    settings = corpora.server_settings(corpora.lexical(parameters.dimensions))
    async with corpora.database(postgres.url) as url:
        dsn = corpora.dsn_of(url)
        await migrations.upgrade(url, embedder)
        async with serving(url, place / "server.log", settings) as server:
            task = Task(
                address=server.address,
                dsn=dsn,
                model_id=embedder.model_id,
                ef_search=candidates_for(LIMIT),
                vectors=str(vectors),
                texts=0,
                matches=narrowing.matches(parameters.large),
                traces=parameters.large,
                exported=0,
            )
            measuring = Measuring(parameters, server_pid=server.pid, postgres_pid=postgres.pid)
            async with driving(task, "bench.grpc_driver") as [through_grpc]:
                large = parameters.large
                sizes = sorted({min(_FEWEST, large), min(parameters.traces, large), large})
                steps: list[Step] = []
                for size in sizes:
                    filled = steps[-1].traces if steps else 0
                    loaded = await loading.load(dsn, embeddings, embedder, first=filled, last=size)
                    search = Search(name=f"gRPC, {size} traces", driver=through_grpc, order=grpc_driver.EMBEDDING)
                    [measured] = await measuring.in_turn([search], callers=1, rounds=parameters.rounds)
                    steps.append(
                        Step(
                            traces=size,
                            measured=measured,
                            index_seconds=loaded.index_seconds,
                            server_bytes=memory.bytes_of(server.pid),
                            postgres_bytes=memory.bytes_of(postgres.pid),
                            database_bytes=await _database_bytes(dsn),
                        )
                    )
                return await _at_full_size(parameters, measuring, task, embeddings, queries, through_grpc, steps)


async def _at_full_size(
    parameters: Parameters,
    measuring: Measuring,
    task: Task,
    embeddings: NDArray[np.float32],
    queries: NDArray[np.float32],
    through_grpc: Driver,
    steps: Sequence[Step],
) -> Growth:
    async with connect(task.address) as client:
        await agreement.check(client, task, queries)
        async with driving(task, "bench.raw_driver") as [raw]:
            comparison = await compare(
                measuring,
                parameters,
                raw=raw,
                through_grpc=through_grpc,
                numbers_of_callers=parameters.numbers_of_callers,
                texts=False,
            )
        filters = await filtering.measure(measuring, through_grpc, client, embeddings, queries, model_id=task.model_id)
    nearest = recall.nearest(embeddings, iterative_driver.NARROWING.passing(len(embeddings)), queries)
    baselines = await iterative.measure(
        measuring, task, nearest, queries, through_grpc, callers=_BASELINE_CALLERS, rounds=parameters.rounds
    )
    return Growth(
        steps=steps,
        raw_forms=comparison.forms,
        searches=comparison.searches,
        filters=filters,
        baselines=baselines,
    )


async def _database_bytes(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        size: int = await connection.fetchval("SELECT pg_database_size(current_database())")
    finally:
        await connection.close()
    return size
