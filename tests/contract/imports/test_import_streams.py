"""Imports as streams: order, repetition, streams at once, back-pressure, a server that stops or fails."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, cast
from uuid import uuid4

import grpc
import pytest
from google.rpc import error_details_pb2

from commontrace.core import concurrent_changes
from commontrace.core.cleanup import delete_expired_imports
from commontrace.core.namespaces.access_cache import NamespaceAccessCache
from commontrace.core.tags.name_quota import TagNameQuota
from commontrace.domain.caller import Caller
from commontrace.domain.errors import ConcurrentChange
from commontrace.embeddings.active_model import ActiveModel
from commontrace.embeddings.embedder import Embedder
from commontrace.fair_sharing.fair_limiter import FairLimiter
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import Call, current_call
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.rpc.streams.imports import Importer
from commontrace.serving.embedder_factory import embedder_of
from commontrace.storage.database import Database
from commontrace.storage.imports.repository import ImportRepository
from commontrace.storage.postgres_url import parse_postgres_url
from commontrace.v1 import trace_import_pb2 as imports_pb
from commontrace.v1 import trace_pb2
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.conftest import RunningServer, ServerFactory, administer, query, server_settings, url_of
from tests.contract.callers import ADA, BOB, refused
from tests.contract.errors.error_promises import details
from tests.contract.imports.imports import a_record, acknowledged, imported, message, outcomes, trace_id_of
from tests.support.builders import a_contribution
from tests.support.locks import held


def storing_blocked(url: str) -> AbstractAsyncContextManager[None]:
    """Keeps every import waiting in the middle of its transaction."""
    return held(url, "LOCK TABLE import_items IN ACCESS EXCLUSIVE MODE")


async def stored_count(url: str) -> int:
    [(count,)] = await query(url, "SELECT count(*) FROM traces")
    return int(count)


async def test_messages_must_follow_each_other(server: RunningServer) -> None:
    import_id = str(uuid4())
    first = message([a_record(1), a_record(2)], import_id=import_id)
    async with refused("FIELD_NOT_ALLOWED", field="import_id"):
        await acknowledged(server.traces, first, message([a_record(3)], first=3, import_id=str(uuid4())))
    for sequence in (1, 2):
        async with refused("FIELD_OUT_OF_RANGE", field="items[0].sequence", minimum="3", actual=str(sequence)):
            await acknowledged(server.traces, first, message([a_record(3)], first=sequence))
    last = 2**63 - 1
    async with refused("FIELD_OUT_OF_RANGE", field="items[0].sequence"):
        at_the_end = message([a_record(1)], first=last, import_id=str(uuid4()))
        await acknowledged(server.traces, at_the_end, message([a_record(2)], first=last))
    again = await acknowledged(
        server.traces, first, message(), message([a_record(3)], first=9, import_id=import_id.upper()), message()
    )
    assert [response.last_sequence for response in again] == [2, 2, 9, 9]
    assert [(response.created_count, response.existing_count) for response in again] == [(0, 0), (2, 0), (0, 0), (3, 0)]


async def test_what_comes_before_a_broken_message_is_stored(server: RunningServer, database_url: str) -> None:
    async with refused("FIELD_REQUIRED", field="items[0].trace"):
        without = imports_pb.ImportTracesRequest(items=[imports_pb.ImportItem(sequence=3)])
        await acknowledged(server.traces, message([a_record(1), a_record(2)], import_id=str(uuid4())), without)
    assert await stored_count(database_url) == 2


async def test_an_import_that_never_began_has_come_nowhere(server: RunningServer, database_url: str) -> None:
    [response] = await acknowledged(server.traces, message(import_id=str(uuid4())))
    assert response == imports_pb.ImportTracesResponse()
    assert await query(database_url, "SELECT count(*) FROM users") == [(0,)]


async def test_the_same_items_again_have_the_same_outcomes(server: RunningServer, database_url: str) -> None:
    import_id = str(uuid4())
    records = [a_record(1), a_record(2, on_duplicate=trace_pb2.ON_DUPLICATE_ALLOW), a_record(1), a_record(3, title="")]
    first = await acknowledged(server.traces, message(records, import_id=import_id))
    assert outcomes(first[0].results) == ["created", "created", "existing", "FIELD_REQUIRED"]
    assert first[0].last_sequence == 3
    # Whatever is sent under their sequences, and whatever became of the traces since.
    others = [a_record(11), a_record(12), a_record(13), a_record(3)]
    again = await acknowledged(server.traces, message(records, import_id=import_id))
    assert again == first
    [mended] = await acknowledged(server.traces, message(others, import_id=import_id))
    assert list(mended.results[:3]) == list(first[0].results[:3])
    assert (outcomes(mended.results)[3], mended.last_sequence) == ("created", 4)
    assert await stored_count(database_url) == 3
    assert await query(database_url, "SELECT count(*) FROM trace_events") == [(3,)]


async def test_imports_are_told_apart_by_caller_and_id(server: RunningServer, database_url: str) -> None:
    one, two = str(uuid4()), str(uuid4())
    first = await imported(server.traces, a_record(1), import_id=one)
    of_bob = await imported(server.traces, a_record(2), import_id=one, caller=BOB)
    other = await imported(server.traces, a_record(3), import_id=two)
    assert len({trace_id_of(result) for result in (*first, *of_bob, *other)}) == 3
    for caller, import_id in ((ADA, one), (BOB, one), (ADA, two)):
        [response] = await acknowledged(server.traces, message(import_id=import_id), caller=caller)
        assert (response.last_sequence, response.created_count) == (1, 1)
    [response] = await acknowledged(server.traces, message(import_id=two), caller=BOB)
    assert response.last_sequence == 0
    assert await stored_count(database_url) == 3


def parts(records: Iterable[Any], import_id: str, size: int = 25) -> list[imports_pb.ImportTracesRequest]:
    numbered = list(enumerate(records, start=1))
    return [
        message((record for _, record in numbered[start : start + size]), first=start + 1, import_id=import_id)
        for start in range(0, len(numbered), size)
    ]


@pytest.mark.parametrize("streams", [2, 5])
async def test_streams_of_one_import_at_once_store_nothing_twice(
    server: RunningServer, database_url: str, streams: int
) -> None:
    # Duplicates are allowed: nothing but the sequence keeps an item from being stored twice.
    records = [a_record(number, on_duplicate=trace_pb2.ON_DUPLICATE_ALLOW) for number in range(150)]
    import_id = str(uuid4())
    requests = parts(records, import_id)
    answers = await asyncio.gather(*(acknowledged(server.traces, *requests) for _ in range(streams)))
    of_each = [[result for response in responses for result in response.results] for responses in answers]
    assert all(results == of_each[0] for results in of_each)
    assert outcomes(of_each[0]) == ["created"] * 150
    assert await stored_count(database_url) == 150
    for table in ("trace_revisions", "import_items", "trace_events"):
        assert await query(database_url, f"SELECT count(*) FROM {table}") == [(150,)]  # noqa: S608 - our own names
    # The server is at the queue already.
    waiting_or_done = "SELECT count(*) FROM traces LEFT JOIN encoding_jobs ON trace_id = id"
    assert await query(database_url, f"{waiting_or_done} WHERE (embedding IS NULL) <> (trace_id IS NULL)") == [(150,)]


async def test_imports_of_the_same_traces_at_once_store_each_once(server: RunningServer, database_url: str) -> None:
    records = list(map(a_record, range(150)))
    orders = [records, records[::-1], records[75:] + records[:75]]
    callers = (ADA, BOB, ADA)
    answers = await asyncio.gather(
        *(
            acknowledged(server.traces, *parts(order, str(uuid4())), caller=caller)
            for order, caller in zip(orders, callers, strict=True)
        )
    )
    by_title: dict[str, set[str]] = {}
    created = 0
    for order, responses in zip(orders, answers, strict=True):
        results = [result for response in responses for result in response.results]
        created += outcomes(results).count("created")
        for record, result in zip(order, results, strict=True):
            by_title.setdefault(record.title, set()).add(trace_id_of(result))
    assert all(len(ids) == 1 for ids in by_title.values())
    assert created == await stored_count(database_url) == 150


async def test_watchers_are_woken(server: RunningServer, database_url: str) -> None:
    import asyncpg

    from commontrace.storage.events.repository import CHANNEL

    woken = asyncio.Event()
    dsn = parse_postgres_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.add_listener(CHANNEL, lambda *_: woken.set())
        await imported(server.traces, a_record(1))
        await asyncio.wait_for(woken.wait(), 5)
    finally:
        await connection.close()


async def test_no_more_than_one_message_is_received_ahead(
    database: Database, database_url: str, embedder: Embedder
) -> None:
    received = 0

    async def requests() -> AsyncIterator[imports_pb.ImportTracesRequest]:
        nonlocal received
        for request in parts(map(a_record, range(100)), str(uuid4()), size=5):
            received += 1
            yield request

    current_call.set(Call(method="", id="", caller=Caller(email="ada@example.org")))
    model = ActiveModel(
        embedder,
        load_recorded=lambda: database.read(lambda reading: reading.embedding_models.get_current_and_next()),
        create_embedder=lambda recorded: embedder_of(recorded, server_settings()),
    )
    importer = Importer(
        database, model, ShutdownSignal(), TagNameQuota(0), FairLimiter(1), CallAccess(NamespaceAccessCache(database))
    )
    answers = importer.acknowledge(requests())
    async with storing_blocked(database_url):
        first = asyncio.ensure_future(anext(answers))
        await asyncio.sleep(0.3)
        assert received == 2
    await first
    # Nobody asks for the next answer: nothing more is received, and nothing more is stored.
    await asyncio.sleep(0.2)
    assert (received, await stored_count(database_url)) == (2, 5)
    async for _ in answers:
        pass
    assert (received, await stored_count(database_url)) == (20, 100)


async def test_a_sender_that_is_faster_is_held_back(server: RunningServer, database_url: str) -> None:
    large, count = "x" * 50_000, 100
    call = server.traces.ImportTraces(metadata=ADA, timeout=120)
    import_id = str(uuid4())
    sent = 0

    async def send() -> None:
        nonlocal sent
        await call.write(message([a_record(1)], import_id=import_id))
        for number in range(count):
            # Nothing of these is stored: what keeps them waiting is the first one.
            records = [a_record(title="", context=large, solution=large)] * 8
            await call.write(message(records, first=8 * number + 2))
            sent += 1
        await call.done_writing()

    async with storing_blocked(database_url):
        sending = asyncio.create_task(send())
        await asyncio.sleep(1.5)
        # Messages of 0.8 MB: one in the server, the others in the transport's window of at most 16 MiB and in sockets.
        assert sent <= 50
    responses = [response async for response in call]
    await sending
    assert (sent, len(responses)) == (count, count + 1)
    assert await stored_count(database_url) == 1


async def test_a_message_that_is_being_stored_is_acknowledged_before_the_server_stops(
    start_server: ServerFactory, database_url: str
) -> None:
    acknowledged_sequences: list[int] = []
    under_way = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read(responses: Iterable[imports_pb.ImportTracesResponse]) -> None:
        for response in responses:
            acknowledged_sequences.append(response.last_sequence)
            if response.last_sequence == 3:
                loop.call_soon_threadsafe(under_way.set)

    # On a synchronous channel: grpc.aio loses the status of a call that ends while it sends.
    def import_without_end(address: str) -> grpc.RpcError:
        import_id = str(uuid4())
        requests = (message([a_record(number)], first=number + 1, import_id=import_id) for number in itertools.count())
        with grpc.insecure_channel(address) as channel:
            traces = TraceServiceStub(cast("grpc.aio.Channel", channel))
            with pytest.raises(grpc.RpcError) as failure:
                read(cast("Any", traces.ImportTraces)(requests, metadata=ADA))
        return failure.value

    async with start_server(settings=server_settings(stop_grace_seconds=20)) as running:
        importing = asyncio.create_task(asyncio.to_thread(import_without_end, running.address))
        await under_way.wait()
        began = time.monotonic()
    assert time.monotonic() - began < 10
    [info] = details(cast("Any", await importing), error_details_pb2.ErrorInfo)
    assert info.reason == "SERVER_STOPPING"
    assert acknowledged_sequences[-1] == await stored_count(database_url)


async def test_an_idle_stream_ends_when_the_server_stops(start_server: ServerFactory) -> None:
    async with AsyncExitStack() as stack:
        async with start_server(settings=server_settings(stop_grace_seconds=20)) as running:
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(running.address))
            call = TraceServiceStub(channel).ImportTraces(metadata=ADA)
            await call.write(message([a_record(1)], import_id=str(uuid4())))
            response: Any = await call.read()
            assert response.last_sequence == 1
            began = time.monotonic()
        assert time.monotonic() - began < 10
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await call.read()
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    [info] = details(failure.value, error_details_pb2.ErrorInfo)
    [retry] = details(failure.value, error_details_pb2.RetryInfo)
    assert (info.reason, retry.retry_delay.ToNanoseconds() > 0) == ("SERVER_STOPPING", True)


async def test_a_database_that_goes_away_ends_the_stream(server: RunningServer, database_url: str) -> None:
    call = server.traces.ImportTraces(metadata=ADA, timeout=30)
    import_id = str(uuid4())
    await call.write(message([a_record(1)], import_id=import_id))
    response: Any = await call.read()
    assert response.last_sequence == 1
    async with storing_blocked(database_url):
        await call.write(message([a_record(2)], first=2))
        name = parse_postgres_url(database_url).database
        terminated: list[Any] = []
        for _ in range(100):
            await asyncio.sleep(0.05)
            terminated = await query(
                url_of(database_url, "postgres"),
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608
                " AND wait_event_type = 'Lock'",
            )
            if terminated:
                break
        assert terminated
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call.read()
    [info] = details(failure.value, error_details_pb2.ErrorInfo)
    assert (failure.value.code(), info.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert details(failure.value, error_details_pb2.RetryInfo)
    [repeated] = await acknowledged(server.traces, message([a_record(1), a_record(2)], import_id=import_id))
    assert outcomes(repeated.results) == ["created", "created"]
    assert await stored_count(database_url) == 2


async def test_a_caller_who_leaves_stores_whole_messages_only(server: RunningServer, database_url: str) -> None:
    async with storing_blocked(database_url):
        call = server.traces.ImportTraces(metadata=ADA, timeout=30)
        await call.write(message(map(a_record, range(20)), import_id=str(uuid4())))
        await asyncio.sleep(0.3)
        call.cancel()
        await asyncio.sleep(0.3)
    assert await stored_count(database_url) == 0
    # Its connection is whole again, or gone.
    for _ in range(12):
        await imported(server.traces, a_record(1))


async def test_imports_leave_connections_to_others(start_server: ServerFactory, database_url: str) -> None:
    database = Database(database_url, pool_size=2, pool_timeout=0.5)
    try:
        async with start_server(settings=server_settings(database_pool_size=2), database=database) as running:
            async with storing_blocked(database_url):
                importing = [asyncio.create_task(imported(running.traces, a_record(number))) for number in range(8)]
                await asyncio.sleep(0.5)
                await running.traces.CreateTrace(a_contribution(100), metadata=BOB, timeout=10)
            assert [outcomes(await one) for one in importing] == [["created"]] * 8
    finally:
        await database.close()


async def test_items_are_forgotten_after_thirty_days(server: RunningServer, database_url: str) -> None:
    import_id = str(uuid4())
    records = list(map(a_record, range(20)))
    await imported(server.traces, *records, import_id=import_id)
    await administer(
        database_url, "UPDATE import_items SET created_at = now() - interval '30 days 1 minute' WHERE sequence <= 12"
    )
    assert await delete_expired_imports(server.database, batch=5) == 12
    assert await delete_expired_imports(server.database, batch=5) == 0
    [response] = await acknowledged(server.traces, message(records, import_id=import_id))
    assert outcomes(response.results) == ["existing"] * 12 + ["created"] * 8


async def test_an_import_that_always_loses_to_other_writes_is_refused_and_can_be_repeated(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    async def lose(*_arguments: object) -> None:
        nonlocal attempts
        attempts += 1
        raise ConcurrentChange

    monkeypatch.setattr(concurrent_changes, "_LONGEST_PAUSE_SECONDS", 0.01)
    import_id = str(uuid4())
    with monkeypatch.context() as patched:
        patched.setattr(ImportRepository, "add_traces", lose)
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await imported(server.traces, a_record(), import_id=import_id)
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    [info] = details(failure.value, error_details_pb2.ErrorInfo)
    assert info.reason == "OVERLOADED"
    assert details(failure.value, error_details_pb2.RetryInfo)
    assert attempts == 20
    assert outcomes(await imported(server.traces, a_record(), import_id=import_id)) == ["created"]
