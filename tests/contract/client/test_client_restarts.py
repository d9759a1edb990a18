"""Clients of a server that restarts: waiting, failing at once, reconnecting."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest

from commontrace.client import Client, DeadlineExceeded, Unavailable, connect, sync
from tests.conftest import ServerFactory, server_settings

AWAY_SECONDS = 2.0
PATIENT = 30.0
COUNT = 150


@pytest.fixture
def closed_address() -> str:
    """An address without a server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


async def run_again(start_server: ServerFactory, address: str, calling: "asyncio.Task[int]") -> int:
    """Restarts the server after a pause, and returns the result of the calling task."""
    await asyncio.sleep(AWAY_SECONDS)
    async with start_server(settings=server_settings(listen_address=address)):
        return await calling


@pytest.mark.slow
async def test_calls_outlast_a_restart(start_server: ServerFactory) -> None:
    async def call(address: str) -> int:
        calls = 0
        async with connect(address, user="ada@example.org", deadline=PATIENT) as client:
            while time.monotonic() < ends_at or calls < 10:
                await client.contribute(f"Title {calls}", "A problem", "A cure")
                await client.search("a problem")
                assert [tag async for tag in client.tags()] == []
                calls += 1
        return calls

    async with start_server() as server:
        ends_at = time.monotonic() + AWAY_SECONDS + 1.5
        calling = asyncio.create_task(call(server.address))
        await asyncio.sleep(1)
    assert await run_again(start_server, server.address, calling) >= 10


@pytest.mark.slow
async def test_calls_of_a_synchronous_client_outlast_a_restart(start_server: ServerFactory) -> None:
    def call(address: str) -> int:
        calls = 0
        with sync.connect(address, user="ada@example.org", deadline=PATIENT) as client:
            while time.monotonic() < ends_at or calls < 10:
                client.contribute(f"Title {calls}", "A problem", "A cure")
                client.search("a problem")
                assert list(client.tags()) == []
                calls += 1
        return calls

    async with start_server() as server:
        ends_at = time.monotonic() + AWAY_SECONDS + 1.5
        calling = asyncio.create_task(asyncio.to_thread(call, server.address))
        await asyncio.sleep(1)
    assert await run_again(start_server, server.address, calling) >= 10


async def test_a_server_never_heard_of_is_not_waited_for(closed_address: str) -> None:
    began = time.monotonic()
    async with connect(closed_address, deadline=PATIENT) as client:
        with pytest.raises(
            Unavailable, match=f"no CommonTrace server answers on {closed_address}: .*refused"
        ) as failure:
            await client.search("anything")
        assert (failure.value.code, failure.value.reason) == (grpc.StatusCode.UNAVAILABLE, "")
    with sync.connect(closed_address, deadline=PATIENT) as blocking, pytest.raises(Unavailable):
        blocking.service_info()
    assert time.monotonic() - began < PATIENT / 2


async def test_a_server_that_is_not_there_yet_can_be_waited_for(
    start_server: ServerFactory, closed_address: str
) -> None:
    async with connect(closed_address, deadline=PATIENT, wait_for_ready=True) as client:
        calling = asyncio.create_task(client.service_info())
        await asyncio.sleep(0.5)
        assert not calling.done()
        async with start_server(settings=server_settings(listen_address=closed_address)):
            await calling


async def test_a_lost_server_is_not_waited_for_on_request(start_server: ServerFactory) -> None:
    async with lost(start_server, wait_for_ready=False) as client:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="no CommonTrace server answers"):
            await client.service_info()
        with pytest.raises(Unavailable, match="no CommonTrace server answers"):
            await client.search("anything")
        assert time.monotonic() - began < PATIENT / 2


async def test_a_lost_server_is_waited_for_until_the_deadline(start_server: ServerFactory) -> None:
    async with lost(start_server) as client:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"no answer from .* within 0\.5 s"):
            await client.within(0.5).service_info()
        assert 0.4 < time.monotonic() - began < PATIENT / 2


@asynccontextmanager
async def lost(start_server: ServerFactory, *, wait_for_ready: bool | None = None) -> AsyncIterator[Client]:
    """Yields a client whose server has answered once and then ended."""
    async with AsyncExitStack() as stack:
        async with start_server() as server:
            connecting = connect(server.address, deadline=PATIENT, wait_for_ready=wait_for_ready)
            client = await stack.enter_async_context(connecting)
            await client.service_info()
        yield client
