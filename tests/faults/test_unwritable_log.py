"""`commontrace serve` whose standard output and error cannot be written to: nobody's call fails or waits for it."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.faults.server_process import environment
from tests.support.builders import a_contribution

CALLS = 30
# Beyond what a pipe holds, and what waits for one to be read.
BLOCKING_CALLS = 4000
LONG_LINES = (("x-commontrace-user", f"{'a' * 60}@{'b' * 60}.{'c' * 60}.org"), ("x-request-id", "x" * 64))
START_SECONDS, STOP_SECONDS = 30.0, 15.0


@contextmanager
def full_disk() -> Iterator[int]:
    with Path("/dev/full").open("wb") as full:
        yield full.fileno()


@contextmanager
def reader_gone() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextmanager
def reader_asleep() -> Iterator[int]:
    reading, writing = os.pipe()
    yield writing
    os.close(reading)
    os.close(writing)


@contextmanager
def reader_asleep_and_full() -> Iterator[int]:
    """Has no room from the first line on, and does not wait either, as a program before may have left it."""
    with reader_asleep() as writing:
        os.set_blocking(writing, False)
        while True:
            try:
                os.write(writing, b"\n" * 4096)
            except BlockingIOError:
                break
        yield writing


@contextmanager
def closed() -> Iterator[None]:
    yield None


STATES = {
    "full disk": full_disk,
    "reader gone": reader_gone,
    "reader asleep": reader_asleep_and_full,
    "closed": closed,
}


@contextmanager
def served(place: Path, descriptor: int | None, *arguments: str, **settings: str) -> Iterator[tuple[str, int]]:
    """A server that writes there, with its address and the port of its metrics."""
    port, metrics = free_ports(2)
    address = f"127.0.0.1:{port}"
    settings |= {"LISTEN_ADDRESS": address, "METRICS_ADDRESS": f"127.0.0.1:{metrics}"}
    # A shell can start it with its descriptors closed.
    closing = 'exec "$@" >&- 2>&-' if descriptor is None else 'exec "$@"'
    program = ["/bin/sh", "-c", closing, "sh", sys.executable, "-m", "commontrace", "serve", *arguments]
    process = subprocess.Popen(
        program, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, env=environment(place, **settings)
    )
    try:
        yield address, metrics
    finally:
        process.terminate()
        exit_code = process.wait(STOP_SECONDS)
    assert exit_code == 0


def free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def dropped(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith("commontrace_log_lines_dropped_total"))


@pytest.mark.parametrize(
    ("state", "workers"), [*((state, ()) for state in STATES), ("reader gone", ("--workers", "2"))]
)
async def test_calls_are_answered_while_no_line_can_be_written(
    tmp_path: Path, seeded_database_url: str, state: str, workers: tuple[str, ...]
) -> None:
    with (
        STATES[state]() as descriptor,
        served(tmp_path, descriptor, *workers, DATABASE_URL=seeded_database_url) as (address, metrics),
    ):
        async with grpc.aio.insecure_channel(address) as channel:
            traces = TraceServiceStub(channel)
            contribution = a_contribution(context=str(uuid4()))
            stored = (await traces.CreateTrace(contribution, wait_for_ready=True, timeout=START_SECONDS)).created
            for _ in range(CALLS):
                answer = await traces.GetTrace(pb.GetTraceRequest(trace_id=stored.id), timeout=10)
                assert answer.trace.id == stored.id
                # Each of the calls that are refused has a line of its own in the log, as every other has.
                with pytest.raises(grpc.aio.AioRpcError) as refusal:
                    await traces.GetTrace(pb.GetTraceRequest(trace_id="none"), timeout=10)
                assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        # What waits for a reader is not dropped yet.
        if not workers and state != "reader asleep":
            assert dropped(metrics) >= 2 * CALLS


async def test_a_pipe_that_nobody_reads_holds_nothing_up(tmp_path: Path, seeded_database_url: str) -> None:
    slowest = 0.0
    with (
        reader_asleep() as descriptor,
        served(tmp_path, descriptor, DATABASE_URL=seeded_database_url) as (address, metrics),
    ):
        async with grpc.aio.insecure_channel(address) as channel:
            traces = TraceServiceStub(channel)
            await traces.GetServiceInfo(pb.GetServiceInfoRequest(), wait_for_ready=True, timeout=START_SECONDS)
            for _ in range(BLOCKING_CALLS):
                began = time.perf_counter()
                await traces.GetServiceInfo(pb.GetServiceInfoRequest(), timeout=10, metadata=LONG_LINES)
                slowest = max(slowest, time.perf_counter() - began)
        assert dropped(metrics) > 0
    assert slowest < 5
