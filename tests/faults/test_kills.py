"""Twenty kills in the middle of writing: what was acknowledged is there, and what is there is whole."""

import asyncio
import hashlib
import itertools
import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc

from commontrace.data_files import data_directory
from commontrace.storage import embedded
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.builders import a_contribution, hits_of, search
from tests.conftest import query
from tests.faults.server_process import ServerProcess
from tests.processes import processes_of, wait_until_gone

# Most of the time of a write passes in Postgres then, not in the model: that is where a kill shall hit.
SETTINGS = {"EMBEDDER": "lexical"}
KILLS = int(os.environ.get("KILLS", "6"))
ACKNOWLEDGED = 30 * KILLS
WRITERS = 8

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Journal:
    """What was acknowledged, on disk before anything else happens: a line of trace id, number and hash."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.lines = 0

    def append(self, trace: trace_pb2.Trace, number: int) -> None:
        os.write(self._descriptor, f"{trace.id} {number} {fingerprint(a_write(number))}\n".encode())
        os.fsync(self._descriptor)
        self.lines += 1

    def read(self) -> dict[str, tuple[int, str]]:
        lines = [line.split() for line in self._path.read_text().splitlines()]
        entries = {trace_id: (int(number), known) for trace_id, number, known in lines}
        assert len(entries) == len(lines) == self.lines, "one id was acknowledged twice"
        return entries


@dataclass(kw_only=True)
class Writing:
    """Writers that share a journal; each write has a number of its own and is sent once."""

    journal: Journal
    numbers: Iterator[int] = field(default_factory=itertools.count)
    in_flight: set[int] = field(default_factory=set)
    failures: list[tuple[str, grpc.StatusCode]] = field(default_factory=list)

    async def write(self, traces: TraceServiceStub, enough: int, reached: asyncio.Event) -> None:
        """Writes until the first failure; sets `reached` once the journal has `enough` lines."""
        for number in self.numbers:
            self.in_flight.add(number)
            try:
                response = await traces.CreateTrace(a_write(number), timeout=20)
            except grpc.aio.AioRpcError as error:
                self.failures.append(("after the kill" if reached.is_set() else "before", error.code()))
                return
            finally:
                self.in_flight.discard(number)
            self.journal.append(response.created, number)
            if self.journal.lines >= enough:
                reached.set()


def a_write(number: int) -> pb.CreateTraceRequest:
    unlike_others = hashlib.sha256(str(number).encode()).hexdigest()
    return a_contribution(
        number,
        context=f"{unlike_others[:20]} fails",
        solution=f"Replace it by {unlike_others[20:40]}.",
        tags=[f"kind-{number % 7}", f"area-{number % 11}"],
    )


def fingerprint(trace: pb.CreateTraceRequest | trace_pb2.Trace) -> str:
    content = json.dumps([trace.title, trace.context, trace.solution, sorted(trace.tags)])
    return hashlib.sha256(content.encode()).hexdigest()


async def write_until_killed(server: ServerProcess, writing: Writing, chance: random.Random) -> int:
    """Returns how many writes were in flight at that moment."""
    enough, reached = writing.journal.lines + chance.randint(51, 65), asyncio.Event()
    async with grpc.aio.insecure_channel(server.address) as channel:
        traces = TraceServiceStub(channel)
        async with asyncio.timeout(60), asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(writing.write(traces, enough, reached))
            await reached.wait()
            await asyncio.sleep(chance.uniform(0, 0.03))
            in_flight = len(writing.in_flight)
            server.kill()
    return in_flight


async def stored_traces(data_dir: Path) -> list[Any]:
    """Every row, through a connection beside the server."""
    url = embedded.attach(data_dir)
    assert url is not None
    return await query(
        url,
        "SELECT id::text, title, context_text AS context, solution_text AS solution, is_seed,"
        " embedding IS NOT NULL AND embedding_model_id IS NOT NULL AS is_embedded,"
        " ARRAY(SELECT name FROM tags JOIN trace_tags ON tag_id = tags.id WHERE trace_id = traces.id) AS tags"
        " FROM traces",
    )


async def at_most_eight(ask: Callable[[Item], Awaitable[Answer]], items: Iterable[Item]) -> list[Answer]:
    """Asks for every item, no faster than the server's pool allows."""
    turn = asyncio.Semaphore(8)

    async def one(item: Item) -> Answer:
        async with turn:
            return await ask(item)

    return await asyncio.gather(*map(one, items))


async def check_readable(server: ServerProcess, journal: dict[str, tuple[int, str]], chance: random.Random) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        traces = TraceServiceStub(channel)

        async def get(trace_id: str) -> trace_pb2.Trace:
            return (await traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id), timeout=20)).trace

        async def found_by_its_text(trace_id: str) -> bool:
            sent = a_write(journal[trace_id][0])
            query = f"{sent.title}\n\n{sent.context}\n\n{sent.solution}"
            return trace_id in {hit.trace.id for hit in hits_of(await search(traces, text=query, limit=3))}

        async def has_others_like_it(trace_id: str) -> bool:
            return len(hits_of(await search(traces, trace_id=trace_id, limit=3))) == 3

        for trace in await at_most_eight(get, journal):
            assert fingerprint(trace) == journal[trace.id][1]
        sample = chance.sample(sorted(journal), 50)
        assert all(await at_most_eight(found_by_its_text, sample))
        assert all(await at_most_eight(has_others_like_it, sample))


async def test_kills_lose_no_acknowledged_write(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    seed = int(os.environ.get("KILLS_SEED") or time.time_ns() % 1_000_000)
    record_property("counted", f"KILLS_SEED={seed}")
    chance = random.Random(seed)  # noqa: S311 - when to kill is no secret
    writing = Writing(journal=Journal(tmp_path / "journal"))
    in_flight, slowest_end, began = 0, 0.0, time.monotonic()
    for _ in range(KILLS):
        with ServerProcess(tmp_path, **SETTINGS) as server:
            in_flight_now = await write_until_killed(server, writing, chance)
            assert in_flight_now > 0
            in_flight += in_flight_now
            slowest_end = max(slowest_end, wait_until_gone(server.data_dir, seconds=5))

    assert writing.failures == [("after the kill", grpc.StatusCode.UNAVAILABLE)] * (KILLS * WRITERS)
    journal = writing.journal.read()
    assert len(journal) >= ACKNOWLEDGED
    with ServerProcess(tmp_path, **SETTINGS) as server:
        await check_readable(server, journal, chance)
        stored = await stored_traces(server.data_dir)
        assert server.terminate() == 0
        assert processes_of(tmp_path) == []

    written = [row for row in stored if not row.is_seed]
    seeds = json.loads((data_directory("fixtures") / "sample_traces.json").read_text(encoding="utf-8"))
    assert len(stored) - len(written) == len(seeds)
    assert all(row.is_embedded for row in stored)
    numbers = {row.id: int(row.title.rpartition(" ")[2]) for row in written}
    assert len(set(numbers.values())) == len(written), "one write was stored twice"
    assert all(fingerprint(row) == fingerprint(a_write(numbers[row.id])) for row in written)
    assert {trace_id: number for trace_id, (number, _) in journal.items()}.items() <= numbers.items()
    record_property(
        "counted",
        f"{KILLS} kills with {in_flight} writes in flight: {len(journal)} acknowledged, all there;"
        f" {len(written) - len(journal)} stored but not acknowledged, all whole;"
        f" Postgres gone after at most {slowest_end:.2f} s; {time.monotonic() - began:.0f} s in total ",
    )
