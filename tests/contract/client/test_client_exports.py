"""Exports by the client, over broken connections and server shutdowns."""

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from commontrace.client import Client, DeadlineExceeded, InvalidArgument, TraceFilter, Unavailable, connect, sync
from commontrace.v1 import trace_record_pb2
from tests.conftest import RunningServer, ServerFactory, administer, server_settings
from tests.contract.imports.exported_traces import ENLARGE, export, records_of
from tests.contract.serving.test_logging import until_logged
from tests.contract.traces.listed_traces import START, store_at
from tests.faults.harness.proxy import proxy_before
from tests.support.locks import held

COUNT = 120


@pytest.fixture
async def stored(server: RunningServer, database_url: str) -> list[str]:
    """Traces of 100 kB each, oldest first."""
    ids = await store_at(server.database, [START + timedelta(seconds=number) for number in range(COUNT)])
    await administer(database_url, ENLARGE)
    return list(map(str, ids))


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[Client]:
    async with connect(server.address) as client:
        yield client


@pytest.fixture
def allowances() -> Iterator[int]:
    """Bytes after which a connection is cut: a few traces each."""
    chance = random.Random(5)  # noqa: S311 - not a secret
    return (chance.randint(90_000, 900_000) for _ in itertools.count())


async def read(records: AsyncGenerator[trace_record_pb2.TraceRecord], into: list[str], *, pause: float = 0.0) -> None:
    async with aclosing(records):
        async for record in records:
            into.append(record.id)
            await asyncio.sleep(pause)


async def test_records_are_those_of_the_contract(server: RunningServer, client: Client, stored: list[str]) -> None:
    plain = [record async for record in client.export_traces()]
    assert plain == records_of(await export(server.traces))
    assert [record.id for record in plain] == stored
    filtered = TraceFilter(agent_models=["nobody"])
    assert [record async for record in client.export_traces(filtered, embeddings=True, batch_size=3)] == []
    with pytest.raises(InvalidArgument) as failure:
        await read(client.export_traces(batch_size=501), [])
    assert list(failure.value.violations) == ["batch_size"]


@pytest.mark.slow
async def test_breaks_lose_and_repeat_nothing(
    server: RunningServer, client: Client, stored: list[str], allowances: Iterator[int]
) -> None:
    direct = [record async for record in client.export_traces()]
    async with proxy_before(server.address, allowances) as proxy, connect(proxy.address) as cut_off:
        records = [record async for record in cut_off.export_traces(batch_size=1)]
    assert proxy.cuts >= 10
    assert [record.id for record in records] == stored
    assert records == direct


@pytest.mark.slow
async def test_breaks_under_the_synchronous_client(
    server: RunningServer, stored: list[str], allowances: Iterator[int]
) -> None:
    def exported(address: str) -> list[str]:
        with sync.connect(address) as client:
            return [record.id for record in client.export_traces(batch_size=2)]

    async with proxy_before(server.address, allowances) as proxy:
        assert await asyncio.to_thread(exported, proxy.address) == stored
    assert proxy.cuts >= 10


async def test_a_connection_that_never_lasts_fails_the_export(server: RunningServer, stored: list[str]) -> None:
    received: list[str] = []
    broken = itertools.chain([500_000], itertools.repeat(2_000))
    async with proxy_before(server.address, broken) as proxy, connect(proxy.address) as cut_off:
        with pytest.raises(Unavailable):
            await read(cut_off.export_traces(batch_size=1), received)
    assert 0 < len(received) < COUNT
    assert received == stored[: len(received)]


async def test_an_export_outlasts_a_restart(start_server: ServerFactory, stored: list[str]) -> None:
    received: list[str] = []
    async with AsyncExitStack() as running:
        address = (await running.enter_async_context(start_server())).address
        async with connect(address, deadline=30) as client:
            reading = asyncio.create_task(read(client.export_traces(batch_size=1), received, pause=0.01))
            async with asyncio.timeout(20):
                while not received:  # noqa: ASYNC110 - a list tells nobody
                    await asyncio.sleep(0.01)
            with capture_logs() as lines:
                await running.aclose()
            assert [line["reason"] for line in lines if line["event"].endswith("ExportTraces")] == ["SERVER_STOPPING"]
            assert len(received) < COUNT
            async with start_server(settings=server_settings(listen_address=address)):
                await reading
    assert received == stored


async def test_a_slow_reader_is_not_bound_by_the_deadline(client: Client, stored: list[str]) -> None:
    received: list[str] = []
    with capture_logs() as lines:
        async for record in client.within(1.5).export_traces(batch_size=5):
            if not received:
                await asyncio.sleep(2)
            received.append(record.id)
    assert received == stored
    assert len([line for line in lines if line["event"].endswith("ExportTraces")]) > 1


@pytest.mark.usefixtures("stored")
async def test_silence_for_longer_than_the_deadline_fails(client: Client, database_url: str) -> None:
    async with held(database_url, "LOCK TABLE traces IN ACCESS EXCLUSIVE MODE"):
        with pytest.raises(DeadlineExceeded, match=r"no answer from .* within 0.5 s"):
            await read(client.within(0.5).export_traces(), [])


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("how", ["closing", "forgetting"])
async def test_leaving_early_cancels_the_call(client: Client, how: str) -> None:
    with capture_logs() as lines:
        records = client.export_traces(batch_size=1)
        if how == "closing":
            await anext(records)
            await records.aclose()
        else:
            async for _ in records:
                break
            del records
        await until_logged(lines, 1)
    assert [(line["event"], line["code"]) for line in lines] == [("TraceService/ExportTraces", "CANCELLED")]
