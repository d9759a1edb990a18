"""The two corpora of a run, and everything that is measured on each: a database, a server and two drivers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import numpy as np

from bench import agreement, corpus, exporting, floor, grpc_driver, importing, loading, narrowing, recall, writing
from bench.comparing import Comparison, compare
from bench.exporting import Exported
from bench.importing import ImportMeasured
from bench.loading import Loaded
from bench.measuring import Measured, Measuring, Search
from bench.orders import Task
from bench.parameters import CONNECTIONS, FEW_CALLERS, LIMIT, Parameters
from bench.processes import driving, serving
from bench.recall import Recall
from commontrace.client import connect
from commontrace.domain.search.query import candidates_for
from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.embeddings.local.model import LocalModel, find_model_directory
from commontrace.storage import migrations
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.postgres_url import parse_postgres_url

# Enough for a second or so.
_EXPORTED_TRACES = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A corpus to be measured, and the settings of a server for it.

    `is_by_text` has searches by text measured, by few callers, and imports; else everything but texts is.
    """

    name: str
    embedder: Embedder
    settings: Mapping[str, str]
    is_by_text: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """Everything measured on one corpus; what its plan leaves out is empty."""

    name: str
    model_id: str
    dimensions: int
    ef_search: int
    loaded: Loaded
    comparison: Comparison
    recall: Recall
    streams: Sequence[Measured]
    floor: Sequence[Measured]
    writes: Sequence[Measured]
    exports: Sequence[Exported]
    imports: Sequence[ImportMeasured]

    def all_measured(self) -> list[Measured]:
        """Returns every row of every table."""
        return [
            *self.comparison.forms,
            *(compared.measured for compared in self.comparison.searches),
            *self.streams,
            *self.floor,
            *self.writes,
            *(measured for one in self.exports for measured in (one.raw, one.through_grpc)),
        ]


def lexical(dimensions: int) -> dict[str, str]:
    """Returns the settings of a server whose vectors are of that length, without a model."""
    return {"EMBEDDER": "lexical", "EMBEDDING_DIMENSIONS": str(dimensions)}


def server_settings(of_embedder: Mapping[str, str]) -> dict[str, str]:
    """Returns the settings that every server is measured with, and those of its embedder."""
    # Imports without vectors are not encoded meanwhile.
    return {"DATABASE_POOL_SIZE": str(CONNECTIONS), "ENCODING_WORKER": "false", **of_embedder}


def plans(parameters: Parameters) -> list[Plan]:
    """Returns what a run measures: vectors as long as hosted models make them, and the local model."""
    directory = find_model_directory()
    assert directory is not None, "the model package is not installed: run `make bench`"
    return [
        Plan(
            name="as long as hosted models' vectors",
            embedder=LexicalEmbedder(parameters.dimensions),
            settings=lexical(parameters.dimensions),
            is_by_text=False,
        ),
        Plan(
            name="local model",
            embedder=LocalModel.load(directory),
            settings={"EMBEDDER": "local"},
            is_by_text=True,
        ),
    ]


async def measure(
    plan: Plan, parameters: Parameters, postgres: embedded_postgres.EmbeddedPostgres, place: Path
) -> Corpus:
    """Fills a database, starts a server and drivers, and measures. Files go to `place`. Raises RunFailed."""
    embedder, number_of_texts = plan.embedder, parameters.texts if plan.is_by_text else 0
    embeddings = corpus.vectors(parameters.traces, embedder.dimensions, seed=2)
    queries = corpus.vectors(parameters.queries, embedder.dimensions, seed=3)
    texts = [
        one.vector for one in await embedder.encode([corpus.question(number) for number in range(number_of_texts)])
    ]
    vectors = place / "vectors.npz"
    np.savez(vectors, embedding=queries, text=np.stack(texts) if texts else queries)
    settings = server_settings(plan.settings)
    streams: Sequence[Measured] = ()
    at_hand: Sequence[Measured] = ()
    writes: Sequence[Measured] = ()
    async with database(postgres.url) as url:
        await migrations.upgrade(url, embedder)
        loaded = await loading.load(dsn_of(url), embeddings, embedder)
        async with serving(url, place / "server.log", settings) as server:
            task = Task(
                address=server.address,
                dsn=dsn_of(url),
                model_id=embedder.model_id,
                ef_search=candidates_for(LIMIT),
                vectors=str(vectors),
                texts=number_of_texts,
                matches=narrowing.matches(parameters.traces),
                traces=parameters.traces,
                exported=min(parameters.traces, _EXPORTED_TRACES),
            )
            measuring = Measuring(parameters, server_pid=server.pid, postgres_pid=postgres.pid)
            async with (
                connect(server.address) as client,
                driving(task, "bench.raw_driver", "bench.grpc_driver") as (raw, through_grpc),
                driving(task, *(["bench.client_encoding_driver"] if plan.is_by_text else [])) as encoding,
            ):
                await agreement.check(client, task, queries)
                found = await recall.measure(client, embeddings, queries, model_id=task.model_id, narrowing=None)
                comparison = await compare(
                    measuring,
                    parameters,
                    raw=raw,
                    through_grpc=through_grpc,
                    encoding=encoding[0] if encoding else None,
                    numbers_of_callers=FEW_CALLERS if plan.is_by_text else parameters.numbers_of_callers,
                    texts=plan.is_by_text,
                )
                if not plan.is_by_text:
                    orders = map(grpc_driver.streamed, grpc_driver.STREAM_LIMITS)
                    searches = [Search(name=f"gRPC, {order}", driver=through_grpc, order=order) for order in orders]
                    streams = await measuring.in_turn(searches, callers=1, rounds=1)
                    at_hand = await floor.measure(parameters, task, place, postgres_pid=postgres.pid)
                    writes = await writing.measure(measuring, task, through_grpc, rounds=parameters.rounds)
            exports = () if plan.is_by_text else await exporting.measure(measuring, parameters, task)
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
        recall=found,
        streams=streams,
        floor=at_hand,
        writes=writes,
        exports=exports,
        imports=imports,
    )


@asynccontextmanager
async def database(postgres_url: str) -> AsyncIterator[str]:
    """Yields a database that exists as long as the block."""
    connection = await asyncpg.connect(dsn_of(postgres_url))
    try:
        await connection.execute("CREATE DATABASE bench")
        yield parse_postgres_url(postgres_url).set(database="bench").render_as_string(hide_password=False)
        await connection.execute("DROP DATABASE bench WITH (FORCE)")
    finally:
        await connection.close()


def dsn_of(url: str) -> str:
    """Returns a Postgres URL as asyncpg alone wants it."""
    return parse_postgres_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
