"""Streaming searches, over broken connections."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from commontrace.client import Client, DeadlineExceeded, SearchStream, Unavailable, connect, sync
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, administer
from tests.contract.imports.exported_traces import ENLARGE
from tests.contract.search.searched_traces import a_vector, store_vectors, with_ties
from tests.contract.serving.test_logging import until_logged
from tests.faults.harness.proxy import proxy_before, random_allowances

COUNT = 200


@pytest.fixture
async def stored(server: RunningServer, database_url: str) -> list[str]:
    """Traces of 100 kB each, by id, of which a message holds 20 at most."""
    ids = await store_vectors(server.database, with_ties(COUNT))
    await administer(database_url, ENLARGE)
    return sorted(map(str, ids))


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[Client]:
    async with connect(server.address, deadline=60) as client:
        yield client


@pytest.fixture
def allowances(record_property: Callable[[str, object], None]) -> Iterator[int]:
    """Bytes after which a connection is cut: a few traces each."""
    # One at least: a search that never heard of its server fails where the first message does not arrive.
    return random_allowances(record_property, 120_000, 900_000)


async def test_hits_are_there_as_they_arrive(client: Client, stored: list[str]) -> None:
    stream = client.search_stream(a_vector(), limit=COUNT, batch_size=3)
    with pytest.raises(RuntimeError, match="after its last hit"):
        _ = stream.summary
    first = await anext(stream)
    with pytest.raises(RuntimeError, match="after its last hit"):
        _ = stream.summary
    hits = [first, *[hit async for hit in stream]]
    assert sorted(hit.trace.id for hit in hits) == stored
    assert (stream.summary.hit_count, stream.summary.stop_reason) == (COUNT, pb.STOP_REASON_LIMIT)
    assert [hit async for hit in stream] == []
    assert list(await client.search(a_vector(), limit=COUNT)) == hits


@pytest.mark.slow
@pytest.mark.parametrize("exact", [False, True], ids=["index", "exact"])
async def test_breaks_lose_and_repeat_nothing(
    server: RunningServer,
    client: Client,
    stored: list[str],
    allowances: Iterator[int],
    record_property: Callable[[str, object], None],
    *,
    exact: bool,
) -> None:
    direct = await client.search(a_vector(), limit=COUNT, exact=exact)
    async with proxy_before(server.address, allowances) as proxy, connect(proxy.address, deadline=60) as cut_off:
        stream = cut_off.search_stream(a_vector(), limit=COUNT, batch_size=1, exact=exact)
        hits = [hit async for hit in stream]
    ids = [hit.trace.id for hit in hits]
    assert proxy.cuts >= 20
    assert len(ids) == len(set(ids)) == COUNT
    assert sorted(ids) == stored
    if exact:
        assert hits == list(direct)
    assert stream.summary.hit_count == COUNT
    assert stream.summary.stop_reason == direct.summary.stop_reason
    record_property(
        "counted", f"{proxy.cuts} cuts, {COUNT - len(set(ids))} hits lost, {len(ids) - len(set(ids))} twice"
    )


@pytest.mark.slow
async def test_a_limit_holds_over_all_streams(
    server: RunningServer, client: Client, stored: list[str], allowances: Iterator[int]
) -> None:
    direct = await client.search(a_vector(), limit=37, exact=True)
    async with proxy_before(server.address, allowances) as proxy, connect(proxy.address, deadline=60) as cut_off:
        stream = cut_off.search_stream(a_vector(), limit=37, batch_size=1, exact=True)
        hits = [hit async for hit in stream]
    assert proxy.cuts > 0
    assert hits == list(direct)
    assert stream.summary == direct.summary
    assert {hit.trace.id for hit in hits} < set(stored)


@pytest.mark.slow
async def test_breaks_keep_the_best_order_of_a_text(
    server: RunningServer, client: Client, stored: list[str], allowances: Iterator[int]
) -> None:
    direct = await client.search("title", limit=100, ranking="best")
    async with proxy_before(server.address, allowances) as proxy, connect(proxy.address, deadline=60) as cut_off:
        stream = cut_off.search_stream("title", limit=100, batch_size=1)
        hits = [hit async for hit in stream]
    assert proxy.cuts > 0
    assert hits == list(direct)
    assert len({hit.trace.id for hit in hits} & set(stored)) == 100


@pytest.mark.slow
async def test_breaks_under_the_synchronous_client(
    server: RunningServer, stored: list[str], allowances: Iterator[int]
) -> None:
    def search(address: str) -> tuple[list[str], int]:
        with sync.connect(address, deadline=60) as client:
            stream = client.search_stream(a_vector(), limit=COUNT, batch_size=1)
            return [hit.trace.id for hit in stream], stream.summary.hit_count

    async with proxy_before(server.address, allowances) as proxy:
        ids, hit_count = await asyncio.to_thread(search, proxy.address)
    assert proxy.cuts >= 20
    assert sorted(ids) == stored
    assert hit_count == COUNT


async def test_a_break_inside_the_first_message(server: RunningServer, stored: list[str]) -> None:
    allowances = itertools.chain([60_000] * 3, itertools.repeat(10_000_000))
    async with proxy_before(server.address, allowances) as proxy, connect(proxy.address) as cut_off:
        await cut_off.service_info()
        hits = await cut_off.search(a_vector(), limit=20)
    assert proxy.cuts == 3
    assert len({hit.trace.id for hit in hits} & set(stored)) == 20


async def test_a_connection_that_never_lasts_fails_the_search(server: RunningServer, stored: list[str]) -> None:
    allowances = itertools.chain([500_000], itertools.repeat(2_000))
    received: list[str] = []
    async with proxy_before(server.address, allowances) as proxy, connect(proxy.address, deadline=60) as cut_off:
        stream = cut_off.search_stream(a_vector(), limit=COUNT, batch_size=1)
        with pytest.raises(Unavailable):
            await read(stream, received)
    assert 0 < len(received) < COUNT
    assert len(set(received)) == len(received)
    assert set(received) < set(stored)


@pytest.mark.usefixtures("stored")
async def test_the_deadline_is_for_all_streams_together(server: RunningServer) -> None:
    # Each stream brings a few hits, well within its own time: ten times 2 s, if there was no common end.
    received: list[str] = []
    async with (
        proxy_before(server.address, itertools.repeat(350_000)) as proxy,
        connect(proxy.address, deadline=2) as cut_off,
    ):
        stream = cut_off.search_stream(a_vector(), limit=COUNT, batch_size=1)
        # The server may still say that there is no time left.
        with suppress(DeadlineExceeded, Unavailable):
            await read(stream, received, pause=0.1)
            assert stream.summary.stop_reason == pb.STOP_REASON_SCAN_BUDGET
    assert proxy.cuts > 1
    assert len(received) <= 20


@pytest.mark.usefixtures("stored")
async def test_a_slow_reader_is_bound_by_the_deadline(client: Client) -> None:
    received: list[str] = []
    with pytest.raises(DeadlineExceeded, match=r"no answer from .* within 1 s"):
        await read(client.within(1).search_stream(a_vector(), limit=COUNT, batch_size=1), received, pause=0.1)
    assert len(received) < COUNT


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("how", ["context", "closing", "forgetting", "cancelling"])
async def test_leaving_early_cancels_the_call(client: Client, how: str) -> None:
    with capture_logs() as lines:
        stream = client.search_stream(a_vector(), limit=COUNT, batch_size=1)
        if how == "context":
            async with stream:
                await anext(stream)
        elif how == "closing":
            await anext(stream)
            await stream.aclose()
        elif how == "forgetting":
            async for _ in stream:
                break
            del stream
        else:
            with pytest.raises(TimeoutError):
                async with stream, asyncio.timeout(2):
                    await read(stream, [], pause=3)
        await until_logged(lines, 1)
    assert [(line["event"], line["code"]) for line in lines] == [("TraceService/SearchTraces", "CANCELLED")]


@pytest.mark.usefixtures("stored")
async def test_leaving_early_cancels_the_call_of_a_synchronous_client(server: RunningServer) -> None:
    def leave(*, by_context: bool) -> None:
        with sync.connect(server.address) as client:
            if by_context:
                with client.search_stream(a_vector(), limit=COUNT, batch_size=1) as stream:
                    next(stream)
            else:
                for _ in client.search_stream(a_vector(), limit=COUNT, batch_size=1):
                    break

    for by_context in (True, False):
        with capture_logs() as lines:
            await asyncio.to_thread(leave, by_context=by_context)
            await until_logged(lines, 1)
        assert [line["code"] for line in lines] == ["CANCELLED"]


async def read(stream: SearchStream, into: list[str], pause: float = 0.0) -> None:
    async for hit in stream:
        into.append(hit.trace.id)
        await asyncio.sleep(pause)
