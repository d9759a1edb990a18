"""Imports by the client, over broken connections."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from uuid import uuid4

import grpc
import pytest
from structlog.testing import capture_logs

from commontrace.client import Client, DeadlineExceeded, InvalidArgument, Unavailable, connect, sync
from commontrace.storage.database import Database
from commontrace.v1 import trace_import_pb2 as imports_pb
from commontrace.v1 import trace_record_pb2
from tests.conftest import RunningServer, ServerFactory, query, server_settings
from tests.contract.imports.imports import a_record, outcomes
from tests.contract.imports.test_import_streams import stored_count, storing_blocked
from tests.contract.serving.test_logging import until_logged
from tests.faults.harness.proxy import proxy_before, random_allowances
from tests.support.locks import only_connection_held

COUNT = 1500
USER = "ada@example.org"


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[Client]:
    async with connect(server.address, user=USER, deadline=60) as client:
        yield client


@pytest.fixture
def allowances(record_property: Callable[[str, object], None]) -> Iterator[int]:
    """Bytes of responses after which a connection is cut: a few messages each."""
    return random_allowances(record_property, 3_000, 20_000)


def records(count: int = COUNT) -> Iterator[trace_record_pb2.TraceRecord]:
    return (a_record(number, context="x" * 2000) for number in range(count))


async def test_results_come_in_order_from_any_iterable(client: Client, database_url: str) -> None:
    async def slowly() -> AsyncIterator[trace_record_pb2.TraceRecord]:
        for record in records(30):
            await asyncio.sleep(0)
            yield record

    first = [result async for result in client.import_traces(slowly())]
    assert [result.sequence for result in first] == list(range(1, 31))
    assert outcomes(first) == ["created"] * 30
    items = [imports_pb.ImportItem(sequence=10 * number, trace=a_record(number)) for number in range(28, 33)]
    second = [result async for result in client.import_traces(items)]
    assert [result.sequence for result in second] == [280, 290, 300, 310, 320]
    assert outcomes(second)[2:] == ["created"] * 3
    assert [result async for result in client.import_traces([])] == []
    assert await stored_count(database_url) == 35


async def test_an_import_can_be_gone_on_with(client: Client) -> None:
    import_id = uuid4()
    assert (await client.import_progress(import_id)).last_sequence == 0
    first = [result async for result in client.import_traces(records(20), import_id=import_id)]
    progress = await client.import_progress(str(import_id))
    assert (progress.last_sequence, progress.created_count, progress.existing_count) == (20, 20, 0)
    again = [result async for result in client.import_traces(records(30), import_id=import_id)]
    assert again[:20] == first
    assert outcomes(again[20:]) == ["created"] * 10


@pytest.mark.slow
async def test_many_traces_go_through_connections_that_break(
    server: RunningServer, database_url: str, allowances: Iterator[int]
) -> None:
    async with (
        proxy_before(server.address, allowances) as proxy,
        connect(proxy.address, user=USER, deadline=60) as cut_off,
    ):
        await cut_off.service_info()
        results = [result async for result in cut_off.import_traces(records())]
    assert proxy.cuts >= 3
    assert [result.sequence for result in results] == list(range(1, COUNT + 1))
    assert outcomes(results) == ["created"] * COUNT
    assert len({result.created_trace_id for result in results}) == await stored_count(database_url) == COUNT


@pytest.mark.slow
async def test_the_same_under_the_synchronous_client(
    server: RunningServer, database_url: str, allowances: Iterator[int]
) -> None:
    def run(address: str) -> list[imports_pb.ImportResult]:
        with sync.connect(address, user=USER, deadline=60) as blocking:
            blocking.service_info()
            import_id = uuid4()
            results = list(blocking.import_traces(records(), import_id=import_id))
            assert blocking.import_progress(import_id).last_sequence == COUNT
            return results

    async with proxy_before(server.address, allowances) as proxy:
        results = await asyncio.to_thread(run, proxy.address)
    assert proxy.cuts >= 3
    assert outcomes(results) == ["created"] * COUNT
    assert await stored_count(database_url) == COUNT


async def test_a_source_that_fails_does_not_pass_for_a_connection_that_breaks(
    client: Client, server: RunningServer
) -> None:
    def broken() -> Iterator[trace_record_pb2.TraceRecord]:
        """Yields what another server exports until that is gone."""
        yield from records(1000)
        raise Unavailable("the other server is gone", code=grpc.StatusCode.UNAVAILABLE)

    with pytest.raises(Unavailable, match="the other server is gone"):
        await collected(client, broken())

    def run() -> None:
        with sync.connect(server.address, user=USER) as blocking:
            list(blocking.import_traces(broken()))

    with pytest.raises(Unavailable, match="the other server is gone"):
        await asyncio.to_thread(run)


async def test_an_import_outlasts_a_restart(start_server: ServerFactory, database_url: str) -> None:
    imported: list[imports_pb.ImportResult] = []
    under_way = asyncio.Event()

    async def run(address: str) -> None:
        async with connect(address, user=USER, deadline=60) as client:
            async for result in client.import_traces(records()):
                imported.append(result)
                under_way.set()

    async with start_server() as running:
        importing = asyncio.create_task(run(running.address))
        await under_way.wait()
    count = len(imported)
    assert count < COUNT
    await asyncio.sleep(0.5)
    async with start_server(settings=server_settings(listen_address=running.address)):
        await importing
    assert outcomes(imported) == ["created"] * COUNT
    assert await stored_count(database_url) == COUNT


async def test_an_overloaded_server_is_tried_again(start_server: ServerFactory, database_url: str) -> None:
    database = Database(database_url, pool_size=1, pool_timeout=0.1)
    try:
        async with start_server(database=database) as running, connect(running.address, user=USER) as client:
            async with only_connection_held(database):
                importing = asyncio.create_task(collected(client, records(10)))
                await asyncio.sleep(1)
                assert not importing.done()
            assert outcomes(await importing) == ["created"] * 10
    finally:
        await database.close()


async def collected(client: Client, wanted: Iterator[trace_record_pb2.TraceRecord]) -> list[imports_pb.ImportResult]:
    return [result async for result in client.import_traces(wanted)]


async def test_silence_ends_an_import(server: RunningServer, client: Client, database_url: str) -> None:
    async with storing_blocked(database_url):
        with pytest.raises(DeadlineExceeded, match=r"nothing came from .* for 0\.5 s"):
            await collected(client.within(0.5), records(10))
        with sync.connect(server.address, user=USER, deadline=0.5) as blocking, pytest.raises(DeadlineExceeded):
            await asyncio.to_thread(lambda: list(blocking.import_traces(records(10))))
    assert await stored_count(database_url) == 0


async def test_the_deadline_is_for_one_answer_not_for_the_reader(client: Client) -> None:
    results = 0
    async for _ in client.within(1).import_traces(records(700)):
        results += 1
        if results % 350 == 0:
            await asyncio.sleep(1.2)
    assert results == 700


async def test_what_is_wrong_with_the_stream_is_said(client: Client) -> None:
    items = [imports_pb.ImportItem(sequence=1, trace=a_record(number)) for number in range(2)]
    with pytest.raises(InvalidArgument) as failure:
        [result async for result in client.import_traces(items)]
    assert set(failure.value.violations) == {"items[1].sequence"}
    with pytest.raises(InvalidArgument, match="import_id"):
        await client.import_progress("mine")
    with pytest.raises(InvalidArgument, match="import_id"):
        [result async for result in client.import_traces(records(), import_id="mine")]


async def test_a_server_never_heard_of_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    began = time.monotonic()
    async with connect(address, deadline=20) as client:
        with pytest.raises(Unavailable, match="no CommonTrace server answers"):
            await collected(client, records(1))
    assert time.monotonic() - began < 10


async def test_a_trace_that_fits_into_no_request_fails_alone(client: Client) -> None:
    huge = "x" * 600_000
    results = await collected(
        client, iter([a_record(1), a_record(2, context=huge, solution=huge), a_record(3), a_record(4, context=huge)])
    )
    assert [result.sequence for result in results] == [1, 2, 3, 4]
    assert outcomes(results) == ["created", "REQUEST_TOO_LARGE", "created", "FIELD_TOO_LONG"]
    assert results[1].error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    alone = await collected(client, iter([a_record(2, context=huge, solution=huge)]))
    assert outcomes(alone) == ["REQUEST_TOO_LARGE"]


async def test_a_failure_of_the_source_is_the_callers(client: Client) -> None:
    def broken() -> Iterator[trace_record_pb2.TraceRecord]:
        yield from records(600)
        raise LookupError("the source is broken")

    with capture_logs() as lines:
        with pytest.raises(LookupError, match="the source is broken"):
            await collected(client, broken())
        await until_logged(lines, 1)


async def test_leaving_early_cancels_the_call(client: Client, database_url: str) -> None:
    with capture_logs() as lines:
        async with aclosing(client.import_traces(records())) as results:
            async for _ in results:
                break
        await until_logged(lines, 1)
    assert [(line["event"], line["code"]) for line in lines] == [("TraceService/ImportTraces", "CANCELLED")]
    # Whole messages, each with everything that belongs to it.
    [(traces, items, revisions)] = await query(
        database_url,
        "SELECT (SELECT count(*) FROM traces), (SELECT count(*) FROM import_items), count(*) FROM trace_revisions",
    )
    assert 0 < traces == items == revisions <= COUNT
