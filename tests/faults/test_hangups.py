"""`commontrace serve` whose terminal goes, and that is told to stop more than once."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.faults.server_process import ServerProcess, environment
from tests.support.builders import a_contribution
from tests.support.prepared_data import copy_served
from tests.support.processes import wait_until_gone

pytestmark = pytest.mark.slow

READY = b"commontrace ready on "
LEXICAL = {"EMBEDDER": "lexical"}
CALLS = 10
END_SECONDS = 30.0
SERVERS: dict[str, tuple[str, ...]] = {"one process": (), "workers": ("--workers", "2")}
each_kind_of_server = pytest.mark.parametrize("arguments", SERVERS.values(), ids=SERVERS)


@contextmanager
def started(
    place: Path, *command: str, stdin: int = subprocess.DEVNULL, stderr: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a server by a command before it, such as `nohup`, and ends it if it still runs."""
    copy_served(place, **LEXICAL)
    settings = environment(place, **LEXICAL, DRAIN_SECONDS="2")
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=settings) as server:
        try:
            yield server
        finally:
            server.kill()
    wait_until_gone(place / "data")


def served(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "commontrace", "serve", *arguments)


def address_of(server: subprocess.Popen[bytes]) -> str:
    assert server.stdout is not None
    line = server.stdout.readline()
    assert line.startswith(READY), line
    return line.removeprefix(READY).strip().decode()


async def contribute(address: str, *, first: int = 0) -> None:
    """Makes some calls, each of which the server logs."""
    async with grpc.aio.insecure_channel(address) as channel:
        for number in range(first, first + CALLS):
            await TraceServiceStub(channel).CreateTrace(a_contribution(number), timeout=10)


@each_kind_of_server
async def test_a_closed_terminal_lets_calls_finish(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    terminal, side = pty.openpty()
    # Closing a terminal reaches the session that it controls.
    with started(tmp_path, "setsid", "--ctty", *served(*arguments), stdin=side, stderr=side) as server:
        os.close(side)
        address = address_of(server)
        await contribute(address)
        os.close(terminal)
        # While it drains.
        await contribute(address, first=CALLS)
        assert server.wait(END_SECONDS) == 0


@each_kind_of_server
async def test_nohup_goes_on(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with started(tmp_path, "nohup", *served(*arguments), stderr=subprocess.DEVNULL) as server:
        address = address_of(server)
        server.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            # Longer than it would drain.
            await asyncio.to_thread(server.wait, 3.5)
        await contribute(address)
        server.terminate()
        assert server.wait(END_SECONDS) == 0


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("one process", signal.SIGHUP, signal.SIGHUP),
        ("one process", signal.SIGINT, signal.SIGHUP),
        ("workers", signal.SIGTERM, signal.SIGTERM),
        ("workers", signal.SIGHUP, signal.SIGTERM),
    ],
)
async def test_a_second_signal_ends_the_drain(
    tmp_path: Path, kind: str, first: signal.Signals, second: signal.Signals
) -> None:
    arguments = SERVERS[kind]
    copy_served(tmp_path, **LEXICAL)
    with ServerProcess(tmp_path, *arguments, **LEXICAL, DRAIN_SECONDS="60") as server:
        server.signal(first)
        await asyncio.sleep(1)
        await contribute(server.address)
        server.signal(second)
        assert server.wait(END_SECONDS) == 0
