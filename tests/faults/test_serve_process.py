"""`commontrace serve` as a process: when it is ready, how it ends, what it survives."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.client import CallFailed
from commontrace.storage import engines
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.embedded_postgres.processes import processes_on
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.faults.server_process import ServerProcess, environment, run_command
from tests.support.builders import a_contribution, copies_of, health_of, hits_of, search, store_large_trace
from tests.support.processes import processes_of, wait_until_gone

LARGE_TRACES = 200
TRACE_SERVICE = "commontrace.v1.TraceService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
STOPS = {
    "SIGTERM to the server": (signal.SIGTERM, False),
    "SIGTERM to its process group": (signal.SIGTERM, True),
    "SIGINT to the server": (signal.SIGINT, False),
    "Ctrl-C": (signal.SIGINT, True),
    "SIGHUP to the server": (signal.SIGHUP, False),
    "SIGHUP to its process group": (signal.SIGHUP, True),
}
stops = pytest.mark.parametrize(("number", "whole_group"), STOPS.values(), ids=STOPS.keys())

# Tests share their data: what each contributes is new.
NUMBERS = count()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a server ran before; among its traces are more than the buffers between it and a reader hold."""
    place = tmp_path_factory.mktemp("served")
    with ServerProcess(place) as server:
        asyncio.run(store_large_traces(server))
    return place


async def store_large_traces(server: ServerProcess) -> None:
    async with traces_of(server) as traces, beside(server) as connection:
        await connection.execute(text(copies_of(await store_large_trace(traces), LARGE_TRACES)))
        await connection.commit()


@asynccontextmanager
async def traces_of(server: ServerProcess) -> AsyncIterator[TraceServiceStub]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield TraceServiceStub(channel)


@asynccontextmanager
async def beside(server: ServerProcess) -> AsyncIterator[AsyncConnection]:
    """A connection to the server's embedded Postgres."""
    url = embedded_postgres.attach(server.data_dir)
    assert url is not None
    engine = engines.unpooled(url)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def create_behind_a_lock(connection: AsyncConnection, traces: TraceServiceStub) -> "asyncio.Task[str]":
    """Starts a write, which `connection` holds up, and returns it once it waits."""

    async def create() -> str:
        return (await traces.CreateTrace(a_contribution(next(NUMBERS)), timeout=20)).created.id

    await connection.execute(text("LOCK TABLE traces IN EXCLUSIVE MODE"))
    creating = asyncio.create_task(create())
    async with asyncio.timeout(20):
        while not await connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            assert not creating.done()
    return creating


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.005)


def assert_free(port: int) -> None:
    socket.create_server(("127.0.0.1", port)).close()


async def test_the_ready_line_of_a_first_start_means_that_searches_work(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        async with traces_of(server) as traces:
            [hit] = hits_of(await search(traces, text="the cache expires and everybody asks the database", limit=1))
            assert hit.trace.is_seed
            assert "cache" in hit.trace.title


def test_a_second_start_is_ready_in_under_three_seconds(place: Path) -> None:
    seconds = []
    for _ in range(2):
        with ServerProcess(place) as server:
            seconds.append(server.seconds_to_ready)
    assert min(seconds) < 3.0, seconds


def test_whoever_waits_for_the_ready_line_may_close_the_pipe(place: Path) -> None:
    command = [sys.executable, "-m", "commontrace", "serve"]
    settings = environment(place, PYTHONUNBUFFERED="1")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=settings, bufsize=0) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        assert server.stdout.read(64).startswith(b"commontrace ready on ")
        server.stdout.close()
        with pytest.raises(subprocess.TimeoutExpired):
            server.wait(0.5)
        server.terminate()
        assert server.wait(5) == 0
        assert server.stderr.read() == b"commontrace is stopping\n"


async def test_a_search_in_progress_finishes_before_the_end(place: Path) -> None:
    with ServerProcess(place) as server:
        async with traces_of(server) as traces:
            stream = traces.SearchTraces(pb.SearchTracesRequest(text="number", limit=1000, batch_size=1), timeout=20)
            responses = [await anext(aiter(stream))]
            assert "SearchTraces" not in server.stderr
            server.signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            responses += [response async for response in stream]
        assert server.wait(5) == 0
        assert responses[-1].summary.hit_count == len(hits_of(responses)) > LARGE_TRACES
        assert processes_of(server.data_dir) == []
        assert_free(server.port)


@stops
async def test_a_write_in_progress_finishes_before_the_end(
    place: Path, number: signal.Signals, *, whole_group: bool
) -> None:
    with ServerProcess(place) as server:
        async with traces_of(server) as traces:
            async with beside(server) as connection:
                creating = await create_behind_a_lock(connection, traces)
                server.signal(number, whole_group=whole_group)
                await until(lambda: "commontrace is stopping" in server.stderr)
            trace_id = await creating
        assert server.wait(5) == 0
        assert processes_of(server.data_dir) == []
        assert_free(server.port)
    with ServerProcess(place) as server:
        async with traces_of(server) as traces:
            await traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id))


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name
)
async def test_a_server_ended_while_it_starts_leaves_no_postgres(place: Path, number: signal.Signals) -> None:
    with ServerProcess(place).impatient() as server:
        await until(lambda: embedded_postgres.attach(server.data_dir) is not None)
        server.signal(number)
        server.wait(10)
        wait_until_gone(server.data_dir, 5)
        assert "Traceback" not in server.stderr


async def test_an_open_server_says_so_loudly(place: Path) -> None:
    with ServerProcess(place, LISTEN_ADDRESS="0.0.0.0:0", ALLOW_OPEN="true", DRAIN_SECONDS="0") as server:
        assert server.stderr.count("OPEN TO EVERYBODY") == 1
        assert server.stderr.count("NO TLS") == 1
        server.address = f"127.0.0.1:{server.port}"
        async with traces_of(server) as traces:
            assert hits_of(await search(traces, text="cache", limit=1))


def test_seed_and_migrate_work_beside_a_server_and_without(place: Path) -> None:
    def outputs() -> list[str]:
        return [run_command(place, command).stdout.partition(" 00")[0] for command in ("seed", "migrate")]

    with ServerProcess(place) as server:
        assert outputs() == ["Already seeded\n", "already at"]
        os.kill(server.postgres_pid, 0)
    assert outputs() == ["Already seeded\n", "already at"]
    assert processes_of(place) == []


async def test_a_server_whose_postgres_was_killed_says_so_and_ends(place: Path) -> None:
    with ServerProcess(place) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            traces = TraceServiceStub(channel)
            kept = [(await traces.CreateTrace(a_contribution(next(NUMBERS)))).created.id]
            async with asyncio.timeout(20):
                # On a busy machine, the look at the database may take longer than health waits for it.
                while await health_of(channel, TRACE_SERVICE) != SERVING:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            with suppress(DBAPIError):  # leaving is a rollback, for which there is no Postgres
                async with beside(server) as connection:
                    creating = await create_behind_a_lock(connection, traces)
                    os.kill(server.postgres_pid, signal.SIGKILL)
            [cut] = await asyncio.gather(creating, return_exceptions=True)
            if isinstance(cut, str):
                # The backend that held the lock ended first, and the one that waited committed before it saw the end.
                kept.append(cut)
            else:
                assert isinstance(cut, grpc.aio.AioRpcError), cut
                assert CallFailed.from_rpc_error(cut).reason == "DATABASE_UNAVAILABLE"
            # A backend that is asked something before it sees that the postmaster is gone still answers.
            [cluster] = server.data_dir.glob("postgres-*")
            await until(lambda: not processes_on(cluster))
            [late] = await asyncio.gather(search(traces, text="cache"), return_exceptions=True)
            # Whoever comes later may find the server gone.
            assert isinstance(late, grpc.aio.AioRpcError), late
            assert late.code() is grpc.StatusCode.UNAVAILABLE
        assert server.wait(30) == 1
        assert "Postgres has ended" in server.stderr
        assert "Traceback" not in server.stderr
    with ServerProcess(place) as server:
        async with traces_of(server) as traces:
            for trace_id in kept:
                await traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id))
