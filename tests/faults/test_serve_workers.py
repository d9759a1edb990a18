"""`commontrace serve --workers`: several processes on one port, and one that supervises them."""

import asyncio
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest

from commontrace.client import Client, connect
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.faults.server_process import ServerProcess, run_command
from tests.support.builders import hits_of, search
from tests.support.processes import wait_until_gone

CHANNELS = 12
ANN = "ann@example.org"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[ServerProcess]:
    with a_server(place) as server:
        yield server


def a_server(place: Path) -> ServerProcess:
    return ServerProcess(place, "--workers", "2", EMBEDDER="lexical", METRICS_ADDRESS="127.0.0.1:0")


def workers_of(server: ServerProcess) -> set[int]:
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return {
        int(pid) for pid in children if b"commontrace.cli.workers.process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }


def left_of(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def logged(server: ServerProcess) -> list[dict[str, Any]]:
    """What the workers have logged: lines that are whole, as the last one need not be yet."""
    lines = server.stderr.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}\n")]


def pids_that_answered(server: ServerProcess) -> set[int]:
    return {line["pid"] for line in logged(server) if line["event"] == "TraceService/GetTrace"}


async def ask_until_answered_by(server: ServerProcess, pids: set[int]) -> None:
    async with asyncio.timeout(20):
        while not pids <= pids_that_answered(server):
            # A connection stays with one worker, and channels of one process share theirs unless told otherwise.
            channel = grpc.aio.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)])
            async with channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await TraceServiceStub(channel).GetTrace(pb.GetTraceRequest(trace_id="no id"))


async def test_every_worker_serves_and_the_ready_line_comes_once(server: ServerProcess) -> None:
    workers = workers_of(server)
    assert len(workers) == 2
    await ask_until_answered_by(server, workers)
    assert server.stdout.count("commontrace ready on ") == 1
    exported = {line["pid"]: line["address"] for line in logged(server) if line["event"] == "metrics are exported"}
    assert exported.keys() == workers
    assert len(set(exported.values())) == 2


async def test_a_killed_worker_costs_no_call_and_comes_back(server: ServerProcess) -> None:
    numbers, stop = count(), asyncio.Event()
    victim, survivor = sorted(workers_of(server))

    async def work(client: Client) -> int:
        calls = 0
        while not stop.is_set():
            number = next(numbers)
            await client.contribute(f"Killed {number}", f"Problem {number}", f"Solution {number}", tags=["kill"])
            await client.search(f"problem {number}", limit=3)
            calls += 2
        return calls

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(server.address, user=ANN)) for _ in range(CHANNELS)]
        working = [asyncio.create_task(work(client)) for client in clients]
        await asyncio.sleep(0.5)
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(20):
            # Another process sets no event of ours.
            while victim in (running := workers_of(server)) or len(running) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await ask_until_answered_by(server, running)
        stop.set()
        assert all(await asyncio.gather(*working))
    assert survivor in workers_of(server)
    [said] = [line for line in logged(server) if "a worker has ended" in line["event"]]
    assert (said["pid"], said["exit_code"]) == (victim, -signal.SIGKILL)


async def test_another_server_on_the_port_is_refused(server: ServerProcess, tmp_path: Path) -> None:
    def serve(workers: str) -> subprocess.CompletedProcess[str]:
        return run_command(tmp_path, "serve", "--workers", workers, LISTEN_ADDRESS=server.address)

    for refused in await asyncio.gather(*(asyncio.to_thread(serve, workers) for workers in ("1", "2"))):
        assert refused.returncode == 1
        listener = re.match(rf"commontrace: cannot listen on {server.address}: process (\d+) \(", refused.stderr)
        assert listener is not None
        assert int(listener[1]) in workers_of(server)


def test_workers_that_cannot_start_end_the_supervisor_with_their_reason(tmp_path: Path) -> None:
    refused = run_command(tmp_path, "serve", "--workers", "2", DATABASE_URL="postgresql://x@127.0.0.1:1/x")
    assert refused.returncode == 1
    assert re.fullmatch(r"commontrace: the database cannot be reached.*\n", refused.stderr)


# Ends the server that the others share, so it stands behind them.
async def test_sigterm_lets_calls_in_progress_finish(server: ServerProcess) -> None:
    workers = workers_of(server)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stream = TraceServiceStub(channel).SearchTraces(
            pb.SearchTracesRequest(text="problem", limit=10, batch_size=1), timeout=20
        )
        responses = [await anext(aiter(stream))]
        server.signal(signal.SIGTERM)
        responses += [response async for response in stream]
    assert responses[-1].HasField("summary")
    assert len(hits_of(responses)) == responses[-1].summary.hit_count
    assert server.wait() == 0
    assert server.stderr.count("commontrace is stopping") == 1
    assert not left_of(workers)


async def test_a_killed_supervisor_leaves_nothing_behind(server: ServerProcess, place: Path) -> None:
    server.terminate()
    with a_server(place) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            assert hits_of(await search(TraceServiceStub(channel), text="cache", limit=1))
        workers = workers_of(server)
        server.kill()
        deadline = time.monotonic() + 5
        while left_of(workers):
            assert time.monotonic() < deadline, workers
            await asyncio.sleep(0.01)
        wait_until_gone(server.data_dir, 10)
