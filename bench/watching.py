"""Delay of events for watchers, and the cost of watching for writers."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench import corpora
from bench.failures import RunFailed
from bench.parameters import CONNECTIONS, Parameters
from bench.processes import serving
from commontrace.client import Client, connect
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.embedded_postgres import instance as embedded_postgres

WRITERS, WATCHERS = 8, 10
_DIMENSIONS = 64
_QUIET_PAUSE_SECONDS = 0.05
_LAST_EVENT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """Milliseconds from an edit's acknowledgement to its event, below 0 where the event came first; edits a second.

    `quiet` is with one writer that pauses, `busy` with 8 that do not; edits a second are those of 8 writers.
    """

    quiet_p50_ms: float
    quiet_p99_ms: float
    busy_p50_ms: float
    busy_p99_ms: float
    edits_per_second: float
    edits_per_second_watched: float
    """With 10 watchers, in the writers' own process."""


@dataclass(kw_only=True)
class _Times:
    """Times at which edits of each trace were acknowledged and told, in the order of the edits."""

    acknowledged: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    told: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def edits(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    async def until_all_are_told(self) -> None:
        until = time.perf_counter() + _LAST_EVENT_SECONDS
        while sum(map(len, self.told.values())) < self.edits:
            if time.perf_counter() > until:
                raise RunFailed("somebody who watches was not told of every edit")
            await asyncio.sleep(0.01)

    def percentiles(self) -> tuple[float, float]:
        """Returns p50 and p99 of the milliseconds from the acknowledgement to the event."""
        pairs = (zip(times, self.told[trace_id], strict=True) for trace_id, times in self.acknowledged.items())
        p50, p99 = np.percentile([1000 * (told - done) for pair in pairs for done, told in pair], [50, 99])
        return float(p50), float(p99)


async def measure(parameters: Parameters, postgres: embedded_postgres.EmbeddedPostgres, place: Path) -> Watched:
    """Starts a server and measures. Raises RunFailed, CallFailed."""
    embedder = LexicalEmbedder(_DIMENSIONS)
    settings = {
        "DATABASE_POOL_SIZE": str(CONNECTIONS),
        "EMBEDDER": "lexical",
        "EMBEDDING_DIMENSIONS": str(_DIMENSIONS),
    }
    seconds = parameters.seconds
    async with corpora.database(postgres.url) as url:
        await migrations.upgrade(url, embedder)
        async with serving(url, place / "server.log", settings) as server, connect(server.address) as client:
            ids = [
                (await client.contribute(f"Trace {number}", "A problem", "A cure")).created.id
                for number in range(WRITERS)
            ]
            await _edited(client, ids, seconds=parameters.warm_up_seconds)
            unwatched = await _edited(client, ids, seconds=seconds)
            async with _watching(client, 1) as told:
                quiet = await _edited(client, ids[:1], seconds=seconds, pause=_QUIET_PAUSE_SECONDS, told=told)
            async with _watching(client, 1) as told:
                busy = await _edited(client, ids, seconds=seconds, told=told)
            async with _watching(client, WATCHERS):
                watched = await _edited(client, ids, seconds=seconds)
    (quiet_p50, quiet_p99), (busy_p50, busy_p99) = quiet.percentiles(), busy.percentiles()
    return Watched(
        quiet_p50_ms=quiet_p50,
        quiet_p99_ms=quiet_p99,
        busy_p50_ms=busy_p50,
        busy_p99_ms=busy_p99,
        edits_per_second=unwatched.edits / seconds,
        edits_per_second_watched=watched.edits / seconds,
    )


async def _edited(
    client: Client,
    ids: list[str],
    *,
    seconds: float,
    pause: float = 0.0,
    told: dict[str, list[float]] | None = None,
) -> _Times:
    """Edits each trace again and again."""
    times = _Times(told=told) if told is not None else _Times()
    until = time.perf_counter() + seconds

    async def edit(trace_id: str) -> None:
        number = 0
        while time.perf_counter() < until:
            await client.update(trace_id, metadata={"number": number, "began": until})
            times.acknowledged[trace_id].append(time.perf_counter())
            number += 1
            await asyncio.sleep(pause)

    await asyncio.gather(*map(edit, ids))
    if told is not None:
        await times.until_all_are_told()
    return times


@asynccontextmanager
async def _watching(client: Client, count: int) -> AsyncIterator[dict[str, list[float]]]:
    """Yields when the first of so many watchers is told of which trace."""
    told: dict[str, list[float]] = defaultdict(list)
    has_begun = asyncio.Semaphore(0)

    async def watch(number: int) -> None:
        async with client.watch() as stream:
            has_begun.release()
            async for event in stream:
                if number == 0:
                    told[event.trace_id].append(time.perf_counter())

    watching = [asyncio.create_task(watch(number)) for number in range(count)]
    try:
        for _ in watching:
            await has_begun.acquire()
        yield told
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
