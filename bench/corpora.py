"""The two corpora of a run, and everything that is measured on each: a database, a server and two drivers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import numpy as np

from bench import agreement, corpus, exporting, grpc_driver, importing, loading, recall
from bench.comparing import Comparison, compare
from bench.exporting import Exported
from bench.importing import ImportMeasured
from bench.loading import Loaded
from bench.measuring import Measured, Measuring, Search
from bench.orders import Task
from bench.parameters import CONNECTIONS, FILTER_CALLERS, LIMIT, Parameters
from bench.processes import Driver, driving, serving
from bench.recall import Recall
from commontrace.client import connect
from commontrace.core.search import candidates_for
from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.embeddings.local_model import LocalModel, find_model_directory
from commontrace.storage import embedded, engines, migrating

# Enough for a second or so.
_EXPORTED_TRACES = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A corpus to be measured, and the settings of a server for it."""

    name: str
    embedder: Embedder
    settings: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Filtered:
    """Searches through gRPC among the traces of an agent model; one `measured` for each number of callers."""

    agent_model: str | None
    recall: Recall
    measured: Sequence[Measured]


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """Everything measured on one corpus."""

    name: str
    model_id: str
    dimensions: int
    ef_search: int
    loaded: Loaded
    comparison: Comparison
    filtered: Sequence[Filtered]
    exports: Sequence[Exported]
    imports: Sequence[ImportMeasured]

    def all_measured(self) -> list[Measured]:
        """Returns every row of every table."""
        return [
            *self.comparison.forms,
            *(compared.measured for compared in self.comparison.searches),
            *(measured for filtered in self.filtered for measured in filtered.measured),
            *(measured for one in self.exports for measured in (one.raw, one.through_grpc)),
        ]


def plans(parameters: Parameters) -> list[Plan]:
    """Returns what a run measures: vectors as long as hosted models make them, and the local model."""
    directory = find_model_directory()
    assert directory is not None, "the model package is not installed: run `make bench`"
    return [
        Plan(
            name="as long as hosted models' vectors",
            embedder=LexicalEmbedder(parameters.dimensions),
            settings={"EMBEDDER": "lexical", "EMBEDDING_DIMENSIONS": str(parameters.dimensions)},
        ),
        Plan(name="local model", embedder=LocalModel.load(directory), settings={"EMBEDDER": "local"}),
    ]


async def measure(plan: Plan, parameters: Parameters, postgres: embedded.EmbeddedPostgres, place: Path) -> Corpus:
    """Fills a database, starts a server and drivers, and measures. Files go to `place`. Raises RunFailed."""
    embedder, models = plan.embedder, (None, *corpus.SHARES)
    embeddings = corpus.vectors(parameters.traces, embedder.dimensions, seed=2)
    queries = corpus.vectors(parameters.queries, embedder.dimensions, seed=3)
    texts = [
        one.vector for one in await embedder.encode([corpus.question(number) for number in range(parameters.texts)])
    ]
    vectors = place / "vectors.npz"
    np.savez(vectors, embedding=queries, text=np.stack(texts))
    # Imports without vectors are not encoded meanwhile.
    settings = {"DATABASE_POOL_SIZE": str(CONNECTIONS), "ENCODING_WORKER": "false", **plan.settings}
    async with database(postgres.url) as url:
        await migrating.upgrade(url, embedder)
        loaded = await loading.load(dsn_of(url), embeddings, embedder)
        async with serving(url, place / "server.log", settings) as server:
            task = Task(
                address=server.address,
                dsn=dsn_of(url),
                model_id=embedder.model_id,
                ef_search=candidates_for(LIMIT),
                vectors=str(vectors),
                texts=parameters.texts,
                matches={model: len(corpus.passing(model, parameters.traces)) for model in corpus.SHARES},
                exported=min(parameters.traces, _EXPORTED_TRACES),
            )
            async with connect(server.address) as client:
                await agreement.check(client, task, queries)
                recalls = [
                    await recall.measure(client, embeddings, queries, model_id=task.model_id, agent_model=model)
                    for model in models
                ]
            measuring = Measuring(parameters, server_pid=server.pid, postgres_pid=postgres.pid)
            async with driving("bench.raw_driver", task) as raw, driving("bench.grpc_driver", task) as through_grpc:
                comparison = await compare(measuring, parameters, raw=raw, through_grpc=through_grpc)
                filters = await filtered(measuring, through_grpc, recalls)
            exports = await exporting.measure(measuring, parameters, task)
            # Last: the table grows.
            imports = await importing.measure(
                parameters,
                address=server.address,
                dsn=dsn_of(url),
                embedder=embedder,
                server_pid=server.pid,
                postgres_pid=postgres.pid,
            )
    return Corpus(
        name=plan.name,
        model_id=task.model_id,
        dimensions=embedder.dimensions,
        ef_search=task.ef_search,
        loaded=loaded,
        comparison=comparison,
        filtered=filters,
        exports=exports,
        imports=imports,
    )


async def filtered(measuring: Measuring, through_grpc: Driver, recalls: Sequence[Recall]) -> list[Filtered]:
    """Measures searches without a filter and under each; the recalls are in the same order. Raises RunFailed."""
    models = (None, *corpus.SHARES)
    searches = [
        Search(name=grpc_driver.among(model), driver=through_grpc, order=grpc_driver.among(model)) for model in models
    ]
    by_callers = [await measuring.in_turn(searches, callers=callers, rounds=1) for callers in FILTER_CALLERS]
    return [
        Filtered(agent_model=model, recall=found, measured=measured)
        for model, found, *measured in zip(models, recalls, *by_callers, strict=True)
    ]


@asynccontextmanager
async def database(postgres_url: str) -> AsyncIterator[str]:
    """Yields a database that exists as long as the block."""
    connection = await asyncpg.connect(dsn_of(postgres_url))
    try:
        await connection.execute("CREATE DATABASE bench")
        yield engines.postgres_url(postgres_url).set(database="bench").render_as_string(hide_password=False)
        await connection.execute("DROP DATABASE bench WITH (FORCE)")
    finally:
        await connection.close()


def dsn_of(url: str) -> str:
    """Returns a Postgres URL as asyncpg alone wants it."""
    return engines.postgres_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
