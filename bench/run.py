"""Searches through gRPC beside the same searches by raw asyncpg, in one run on one machine: `make bench`.

The driver is this process, the server another, Postgres a third. The raw side runs the server's own two statements with
the same ef_search, binary vectors and as many connections. Only ratios of one run mean anything.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import uvloop
from numpy.typing import NDArray

from bench import corpus
from bench.driving import Measured, drive
from commontrace.client import Client, TraceFilter, connect, vector
from commontrace.embeddings.local_model import LocalModel, find_model_directory
from commontrace.storage import embedded, engines, migrating, vector_type
from commontrace.v1.vector_pb2 import Vector

TRACES = int(os.environ.get("BENCH_TRACES", "20000"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
LIMIT = 5
RECALL_LIMIT = 10
EF_SEARCH = 64
CONNECTIONS = 10
QUERIES = 512
RESULTS = Path(__file__).parent / "results.json"


async def main(database_url: str) -> None:
    """Loads the corpus, measures both sides in turn, prints and stores the table."""
    directory = find_model_directory()
    assert directory is not None, "the model package is not installed"
    model = LocalModel.load(directory)
    await migrating.upgrade(database_url, model)
    dsn = engines.postgres_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn)
    embeddings = corpus.vectors(TRACES, model.dimensions, seed=2)
    await corpus.load(connection, embeddings, model_id=model.model_id, model_version=model.model_version)
    await connection.close()
    queries = corpus.vectors(QUERIES, model.dimensions, seed=3)
    rows: dict[str, Measured] = {}
    async with serving(database_url) as address, connect(address) as client, raw_pool(dsn) as pool:
        packed = [vector(query, model_id=model.model_id) for query in queries]
        texts = [f"{corpus.TEXT[:40]} number {number}" for number in range(QUERIES)]

        async def by_embedding(number: int) -> None:
            assert len(await client.search(packed[number % QUERIES], limit=LIMIT)) == LIMIT

        async def by_cached_text(number: int) -> None:
            assert len(await client.search(texts[number % 16], limit=LIMIT)) == LIMIT

        async def by_new_text(number: int) -> None:
            assert len(await client.search(f"question {number} of {id(by_new_text)}", limit=LIMIT)) == LIMIT

        async def raw(number: int) -> None:
            assert len(await raw_search(pool, queries[number % QUERIES], model.model_id)) == LIMIT

        for callers in (1, 16):
            for name, ask in (
                ("raw asyncpg, embedding", raw),
                ("gRPC, embedding", by_embedding),
                ("gRPC, text, cached", by_cached_text),
                ("gRPC, text, new", by_new_text),
            ):
                rows[f"{name}, {callers} caller{'s' * (callers > 1)}"] = await drive(
                    ask, callers=callers, seconds=SECONDS
                )
        filtered = [
            await measured_filter(client, embeddings, queries[:200], packed[:200], agent_model=agent_model)
            for agent_model in (None, *corpus.SHARES)
        ]
    await model.close()
    report(rows, filtered)


@dataclass(frozen=True, kw_only=True, slots=True)
class Filtered:
    """Searches that consider a share of the traces: which part of the truly nearest they find, and how fast."""

    share: float
    recall: float
    exact: float
    """Which part of the answers was completed by an exact pass."""
    speed: Measured


async def measured_filter(
    client: Client,
    embeddings: NDArray[np.float32],
    queries: NDArray[np.float32],
    packed: list[Vector],
    *,
    agent_model: str | None,
) -> Filtered:
    """Searches with one caller among the traces of an agent model, or among all."""
    passing = np.arange(len(embeddings))
    if agent_model is not None:
        passing = np.flatnonzero(np.array(corpus.agent_models(len(embeddings))) == agent_model)
    considered = TraceFilter(agent_models=[] if agent_model is None else [agent_model])
    found = wanted = exact = 0
    for query, message in zip(queries, packed, strict=True):
        nearest = passing[np.argsort(-(embeddings[passing] @ query))[:RECALL_LIMIT]].tolist()
        hits = await client.search(message, limit=RECALL_LIMIT, full=False, filter=considered)
        # The title ends with the trace's number.
        found += len({*nearest} & {int(hit.trace.title.rpartition(" ")[2]) for hit in hits})
        wanted += len(nearest)
        exact += hits.summary.exact

    async def ask(number: int) -> None:
        await client.search(packed[number % len(packed)], limit=RECALL_LIMIT, filter=considered)

    speed = await drive(ask, callers=1, seconds=SECONDS)
    return Filtered(
        share=len(passing) / len(embeddings), recall=found / wanted, exact=exact / len(queries), speed=speed
    )


async def raw_search(pool: asyncpg.Pool, query: NDArray[np.float32], model_id: str) -> list[Any]:
    """Returns the rows of the nearest traces: the server's two statements without the server."""
    nearest = (
        "SELECT id, embedding <=> $1 AS distance FROM traces WHERE deleted_at IS NULL AND embedding_model_id = $2"
        " ORDER BY embedding <=> $1 LIMIT $3"
    )
    rows = (
        "SELECT id, title, context_text, solution_text, ARRAY(SELECT name FROM tags JOIN trace_tags ON tag_id = tags.id"
        " WHERE trace_id = traces.id ORDER BY name) AS tags, status, trust_score, confirmation_count, revision,"
        " contributor_id, agent_model, agent_version, metadata_json, is_seed, created_at, updated_at"
        " FROM traces WHERE id = ANY($1) AND deleted_at IS NULL"
    )
    async with pool.acquire() as connection:
        ids = [row["id"] for row in await connection.fetch(nearest, query, model_id, LIMIT)]
        fetched: list[Any] = await connection.fetch(rows, ids)
    return fetched


@asynccontextmanager
async def raw_pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    """Yields connections with the settings of the server's search connections."""
    settings = engines.SESSION | engines.SEARCH | {"hnsw.ef_search": str(EF_SEARCH)}
    async with asyncpg.create_pool(
        dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, init=vector_type.register, server_settings=settings
    ) as pool:
        yield pool


@asynccontextmanager
async def serving(database_url: str) -> AsyncIterator[str]:
    """Yields the address of a server in a process of its own."""
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "LISTEN_ADDRESS": "127.0.0.1:0",
        "DATABASE_POOL_SIZE": str(CONNECTIONS),
    }
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "commontrace", "serve", env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdout is not None
    ready = (await server.stdout.readline()).decode()
    assert ready.startswith("commontrace ready on "), "the server did not start"
    try:
        yield ready.split()[-1]
    finally:
        server.send_signal(signal.SIGTERM)
        await server.wait()


def report(rows: dict[str, Measured], filtered: list[Filtered]) -> None:
    """Prints the tables and stores them as JSON."""
    print(
        f"{TRACES} traces of 384 dimensions, limit {LIMIT}, full view, ef_search {EF_SEARCH}, {os.cpu_count()} cores\n"
    )
    print(f"{'':34} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8} {'driver':>7} {'of raw':>7}")
    for name, row in rows.items():
        raw = rows["raw asyncpg, embedding, " + name.rpartition(", ")[2]]
        ratio = row.rate / raw.rate
        print(f"{name:34} {row.rate:8.0f} {row.p50:8.2f} {row.p99:8.2f} {row.cpu_share:7.0%} {ratio:7.2f}")
    print(f"\n{'share that passes the filter':34} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8} {'recall':>7} {'exact':>7}")
    for part in filtered:
        speed = f"{part.speed.rate:8.0f} {part.speed.p50:8.2f} {part.speed.p99:8.2f}"
        print(f"{part.share:<34.1%} {speed} {part.recall:7.3f} {part.exact:7.0%}")
    results = {
        "traces": TRACES,
        "limit": LIMIT,
        "rows": {name: asdict(row) for name, row in rows.items()},
        "recall_limit": RECALL_LIMIT,
        "filtered": [asdict(row) for row in filtered],
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as data,
        embedded.start(Path(data)) as postgres,
    ):
        uvloop.run(main(postgres.url))
