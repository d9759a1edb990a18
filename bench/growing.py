"""One database that grows: what a search takes and what all of it occupies; at its full size, beside raw searches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import numpy as np

from bench import agreement, corpora, corpus, grpc_driver, iterative, iterative_driver, loading, memory, recall
from bench.comparing import Compared, compare
from bench.corpora import Filtered
from bench.iterative import Baseline
from bench.measuring import Measured, Measuring, Search
from bench.orders import Task
from bench.parameters import CONNECTIONS, LIMIT, Parameters
from bench.processes import driving, serving
from commontrace.client import connect
from commontrace.core.search import candidates_for
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import embedded, migrating

_FEWEST = 1_000
_BASELINE_CALLERS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One size: a search by one caller, and bytes."""

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
        [among] = [one for one in self.filters if one.agent_model == iterative_driver.AGENT_MODEL]
        [measured] = [one for one in among.measured if one.callers == _BASELINE_CALLERS]
        return measured.per_second / self.baseline.measured.per_second

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
            *(one.measured for one in self.baselines),
        ]


async def measure(parameters: Parameters, postgres: embedded.EmbeddedPostgres, place: Path) -> Growth:
    """Fills a database step by step and measures. Raises RunFailed, CallFailed."""
    embedder = LexicalEmbedder(parameters.dimensions)
    embeddings = corpus.vectors(parameters.large, embedder.dimensions, seed=2)
    queries = corpus.vectors(parameters.queries, embedder.dimensions, seed=3)
    vectors = place / "large.npz"
    np.savez(vectors, embedding=queries, text=queries)
    settings = {
        "DATABASE_POOL_SIZE": str(CONNECTIONS),
        "ENCODING_WORKER": "false",
        "EMBEDDER": "lexical",
        "EMBEDDING_DIMENSIONS": str(parameters.dimensions),
    }
    async with corpora.database(postgres.url) as url:
        dsn = corpora.dsn_of(url)
        await migrating.upgrade(url, embedder)
        steps: list[Step] = []
        filled = 0
        for size in sorted(
            {min(_FEWEST, parameters.large), min(parameters.traces, parameters.large), parameters.large}
        ):
            loaded = await loading.load(dsn, embeddings, embedder, first=filled, last=size)
            filled = size
            async with serving(url, place / "server.log", settings) as server:
                task = Task(
                    address=server.address,
                    dsn=dsn,
                    model_id=embedder.model_id,
                    ef_search=candidates_for(LIMIT),
                    vectors=str(vectors),
                    texts=0,
                    matches={model: len(corpus.passing(model, parameters.large)) for model in corpus.SHARES},
                    exported=0,
                )
                measuring = Measuring(parameters, server_pid=server.pid, postgres_pid=postgres.pid)
                async with driving("bench.grpc_driver", task) as through_grpc:
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
                    if size < parameters.large:
                        continue
                    async with connect(server.address) as client:
                        await agreement.check(client, task, queries)
                        recalls = [
                            await recall.measure(client, embeddings, queries, model_id=task.model_id, agent_model=model)
                            for model in (None, *corpus.SHARES)
                        ]
                    async with driving("bench.raw_driver", task) as raw:
                        comparison = await compare(
                            measuring, parameters, raw=raw, through_grpc=through_grpc, texts=False
                        )
                    filters = await corpora.filtered(measuring, through_grpc, recalls)
                nearest = recall.nearest(
                    embeddings, corpus.passing(iterative_driver.AGENT_MODEL, parameters.large), queries
                )
                baselines = await iterative.measure(
                    measuring, task, nearest, queries, callers=_BASELINE_CALLERS, rounds=parameters.rounds
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
