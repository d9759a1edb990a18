"""Kills between commit and answer: whoever repeats the request under its id has one row, not two."""

import asyncio
import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import grpc

from commontrace.storage import embedded
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.builders import a_contribution
from tests.conftest import query
from tests.faults.server_process import ServerProcess

SETTINGS = {"EMBEDDER": "lexical"}
LEAST_KILLS, MOST_KILLS = 6, 40
WRITERS = 16


@dataclass(kw_only=True)
class Writing:
    """Contributions that count as new however often they are stored, unless their request id is recognised."""

    numbers: Iterator[int] = field(default_factory=itertools.count)
    unanswered: dict[int, pb.CreateTraceRequest] = field(default_factory=dict)
    answered: dict[int, str] = field(default_factory=dict)
    codes: set[grpc.StatusCode] = field(default_factory=set)

    async def write(self, traces: TraceServiceStub) -> None:
        """Writes until the server is gone."""
        while True:
            number = next(self.numbers)
            request = a_contribution(number, on_duplicate=trace_pb2.ON_DUPLICATE_ALLOW, request_id=str(uuid4()))
            self.unanswered[number] = request
            try:
                self.answered[number] = (await traces.CreateTrace(request, timeout=20)).created.id
            except grpc.aio.AioRpcError as error:
                self.codes.add(error.code())
                return
            del self.unanswered[number]

    async def repeat(self, traces: TraceServiceStub) -> None:
        """Sends everything unanswered again, each twice at once."""
        for number, request in self.unanswered.items():
            first, second = await asyncio.gather(*(traces.CreateTrace(request, timeout=20) for _ in range(2)))
            assert first == second
            self.answered[number] = first.created.id
        self.unanswered.clear()


async def stored_numbers(data_dir: Path) -> dict[str, int]:
    """Every contributed row's number by its id, through a connection beside the server."""
    url = embedded.attach(data_dir)
    assert url is not None
    rows = await query(url, "SELECT id::text, title FROM traces WHERE NOT is_seed")
    return {row.id: int(row.title.rpartition(" ")[2]) for row in rows}


async def test_kills_between_commit_and_answer(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    seed = int(os.environ.get("KILLS_SEED") or time.time_ns() % 1_000_000)
    chance = random.Random(seed)  # noqa: S311 - when to kill is no secret
    record_property("counted", f"KILLS_SEED={seed}")
    writing, lost_answers, repeated, kills = Writing(), 0, 0, 0
    while kills < LEAST_KILLS or (not lost_answers and kills < MOST_KILLS):
        with ServerProcess(tmp_path, **SETTINGS) as server:
            async with grpc.aio.insecure_channel(server.address) as channel:
                traces = TraceServiceStub(channel)
                stored = set((await stored_numbers(server.data_dir)).values())
                lost_answers += len(stored & writing.unanswered.keys())
                repeated += len(writing.unanswered)
                await writing.repeat(traces)
                async with asyncio.timeout(30), asyncio.TaskGroup() as writers:
                    for _ in range(WRITERS):
                        writers.create_task(writing.write(traces))
                    await asyncio.sleep(chance.uniform(0.2, 0.6))
                    server.kill()
        kills += 1
    with ServerProcess(tmp_path, **SETTINGS) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            await writing.repeat(TraceServiceStub(channel))
        numbers = await stored_numbers(server.data_dir)

    assert writing.codes == {grpc.StatusCode.UNAVAILABLE}
    assert lost_answers > 0, "no kill fell between a commit and its answer"
    assert numbers == {trace_id: number for number, trace_id in writing.answered.items()}
    record_property(
        "counted",
        f"{kills} kills, {repeated} requests repeated, {lost_answers} of them committed before:"
        f" {len(numbers)} rows for {len(writing.answered)} requests ",
    )
