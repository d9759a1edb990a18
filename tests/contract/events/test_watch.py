"""Watching: what is told, in which order, from where on, and how it ends."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.core.cleanup import delete_expired_events
from commontrace.core.events.follower import EventFollower
from commontrace.core.events.watch import EventWatch
from commontrace.core.traces import seed as trace_seeding
from commontrace.core.votes import recount as vote_recount
from commontrace.data_files import data_directory
from commontrace.domain.errors import WatchTokenOutOfRange
from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.embeddings.embedder import Embedder
from commontrace.rpc.paging.page_tokens import BY_SEQUENCE
from commontrace.serving.bootstrap import Foundation
from commontrace.serving.server import serving
from commontrace.storage.database import Database
from commontrace.storage.postgres_url import parse_postgres_url
from commontrace.v1 import trace_event_pb2, trace_pb2, vote_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.conftest import RunningServer, ServerFactory, administer, query, server_settings, url_of
from tests.contract.callers import ADA, BOB, EVE, reason_of, refused
from tests.support.builders import a_contribution
from tests.support.commons import IN_COMMONS

SECONDS = 20.0
UP, DOWN = vote_pb2.VOTE_TYPE_UP, vote_pb2.VOTE_TYPE_DOWN
EventBatch = tuple[str, str, int]


def request(token: str = "") -> trace_event_pb2.WatchTracesRequest:
    return trace_event_pb2.WatchTracesRequest(resume_token=token)


class Watcher:
    """Reads one stream."""

    def __init__(self, call: "grpc.aio.UnaryStreamCall[Any, trace_event_pb2.WatchTracesResponse]") -> None:
        self._call = call
        self.messages: list[trace_event_pb2.WatchTracesResponse] = []

    async def next(self) -> trace_event_pb2.WatchTracesResponse:
        message = await asyncio.wait_for(self._call.read(), SECONDS)
        assert isinstance(message, trace_event_pb2.WatchTracesResponse), message
        self.messages.append(message)
        return message

    async def events(self, count: int) -> list[trace_event_pb2.TraceEvent]:
        """So many more."""
        events: list[trace_event_pb2.TraceEvent] = []
        while len(events) < count:
            events.extend((await self.next()).events)
        assert len(events) == count
        return events

    def close(self) -> None:
        self._call.cancel()


@asynccontextmanager
async def watching(server: RunningServer, token: str = "") -> AsyncIterator[Watcher]:
    """A watcher that has had its first checkpoint."""
    watcher = Watcher(server.traces.WatchTraces(request(token)))
    first = await watcher.next()
    assert (list(first.events), first.resume_token != "") == ([], True)
    yield watcher
    watcher.close()


def told(events: list[trace_event_pb2.TraceEvent]) -> list[EventBatch]:
    return [
        (
            trace_event_pb2.TraceEventType.Name(event.type).removeprefix("TRACE_EVENT_TYPE_"),
            event.trace_id,
            event.revision,
        )
        for event in events
    ]


def an_edit(trace_id: str, etag: str = "", **values: Any) -> pb.UpdateTraceRequest:
    trace = trace_pb2.Trace(id=trace_id, **values)
    return pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=values), etag=etag)


async def created(server: RunningServer, number: int, **fields: str) -> str:
    return (await server.traces.CreateTrace(a_contribution(number, **fields), metadata=ADA)).created.id


async def vote(
    server: RunningServer, trace_id: str, voter: tuple[tuple[str, str], ...], kind: vote_pb2.VoteType.ValueType
) -> None:
    reason = vote_pb2.DOWN_REASON_OUTDATED if kind == DOWN else vote_pb2.DOWN_REASON_UNSPECIFIED
    await server.votes.CastVote(vote_pb.CastVoteRequest(trace_id=trace_id, type=kind, reason=reason), metadata=voter)


async def test_everything_that_happens_is_told_once(server: RunningServer) -> None:
    async with watching(server) as watcher:
        first = await created(server, 1)
        await vote(server, first, BOB, UP)
        await vote(server, first, EVE, UP)
        await vote(server, first, EVE, UP)
        await vote(server, first, EVE, DOWN)
        await vote(server, first, EVE, UP)
        await server.traces.UpdateTrace(an_edit(first, tags=["go"]), metadata=ADA)
        await server.traces.UpdateTrace(an_edit(first, title="Another"), metadata=ADA)
        second = await created(server, 2, supersedes_trace_id=first)
        await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=second), metadata=ADA)
        await server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=second), metadata=ADA)
        assert told(await watcher.events(13)) == [
            ("CREATED", first, 1),
            ("VALIDATED", first, 1),
            ("DEMOTED", first, 1),
            ("VALIDATED", first, 1),
            ("UPDATED", first, 1),
            ("UPDATED", first, 2),
            ("DEMOTED", first, 2),
            ("CREATED", second, 1),
            ("SUPERSEDED", first, 2),
            ("DELETED", second, 1),
            ("UPDATED", first, 2),
            ("SUPERSEDED", first, 2),
            ("UNDELETED", second, 1),
        ]


async def test_what_changes_nothing_is_not_told(server: RunningServer) -> None:
    async with watching(server) as watcher:
        contribution = a_contribution(1, request_id="8f14e45f-ceea-467f-a8d6-bfd2b1a3d9a1")
        trace = (await server.traces.CreateTrace(contribution, metadata=ADA)).created
        await server.traces.CreateTrace(contribution, metadata=ADA)
        await server.traces.CreateTrace(a_contribution(1), metadata=BOB)
        await server.traces.CreateTrace(a_contribution(2, validate_only=True), metadata=ADA)
        await server.traces.UpdateTrace(an_edit(trace.id, tags=["Python"], title=trace.title), metadata=ADA)
        await server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=trace.id), metadata=ADA)
        for kind in (UP, DOWN, UP):
            await vote(server, trace.id, BOB, kind)
        async with refused("OWN_TRACE"):
            await vote(server, trace.id, ADA, UP)
        async with refused("NOT_OWNER"):
            await server.traces.UpdateTrace(an_edit(trace.id, title="Mine"), metadata=BOB)
        async with refused("STALE_ETAG"):
            await server.traces.UpdateTrace(an_edit(trace.id, etag="e7", title="Late"), metadata=ADA)
        last = await created(server, 3)
        assert told(await watcher.events(2)) == [("CREATED", trace.id, 1), ("CREATED", last, 1)]


async def test_seeding_and_recounting_are_told(server: RunningServer, embedder: Embedder) -> None:
    seeds = trace_seeding.read_seeds(data_directory("fixtures"))
    async with watching(server) as watcher:
        for _ in range(2):
            await trace_seeding.seed(seeds, server.database, embedder)
        assert sorted(told(await watcher.events(len(seeds)))) == sorted(("CREATED", str(seed), 1) for seed in seeds)
        trace = await created(server, 1)
        await vote(server, trace, BOB, UP)
        for threshold in (1, 1, 2):
            await vote_recount.recount(server.database, validation_threshold=threshold)
        assert told(await watcher.events(3)) == [("CREATED", trace, 1), ("VALIDATED", trace, 1), ("DEMOTED", trace, 1)]


async def test_an_event_says_when_it_happened(server: RunningServer) -> None:
    async with watching(server) as watcher:
        trace = (await server.traces.CreateTrace(a_contribution(1))).created
        [event] = await watcher.events(1)
    assert event.event_time == trace.create_time


async def test_every_token_continues_behind_what_carried_it(server: RunningServer) -> None:
    async with watching(server) as watcher:
        ids = [await created(server, number) for number in range(5)]
        events = await watcher.events(5)
    tokens = [watcher.messages[0].resume_token, *(event.resume_token for event in events)]
    for number, token in enumerate(tokens):
        ids.append(await created(server, 100 + number))
        async with watching(server, token) as again:
            assert again.messages[0].resume_token == token
            rest = await again.events(len(ids) - number)
            assert [event.trace_id for event in rest] == ids[number:]
            assert rest[: 5 - number] == events[number:]


async def test_messages_hold_a_hundred_events(server: RunningServer, database_url: str) -> None:
    async with watching(server) as watcher:
        await administer(database_url, many_events(250))
        await watcher.events(250)
    sizes = [len(message.events) for message in watcher.messages]
    assert sizes == [0, 100, 100, 50]


def many_events(count: int, age: str = "0 days") -> str:
    rows = f"SELECT gen_random_uuid(), 'updated', 1, now() - interval '{age}' FROM generate_series(1, {count})"  # noqa: S608 - our own numbers
    return f"INSERT INTO trace_events (trace_id, event_type, revision, created_at) {rows}"


async def test_silence_is_told(database: Database, embedder: Embedder) -> None:
    async with (
        serving(server_settings(), Foundation(database=database, embedder=embedder), checkpoint_seconds=0.2) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        began = time.monotonic()
        watcher = Watcher(TraceServiceStub(channel).WatchTraces(request()))
        for _ in range(4):
            await watcher.next()
        watcher.close()
    assert time.monotonic() - began >= 0.6
    assert [list(message.events) for message in watcher.messages] == [[]] * 4
    assert len({message.resume_token for message in watcher.messages}) == 1


async def test_a_token_beyond_what_was_forgotten(server: RunningServer, database_url: str, database: Database) -> None:
    async with watching(server) as watcher:
        await administer(database_url, many_events(30))
        events = await watcher.events(30)
    tokens = [watcher.messages[0].resume_token, *(event.resume_token for event in events)]
    assert await delete_expired_events(database) == 0
    await administer(database_url, "UPDATE trace_events SET created_at = now() - interval '6 days 23 hours'")
    assert await delete_expired_events(database) == 0
    await administer(
        database_url, "UPDATE trace_events SET created_at = now() - interval '8 days' WHERE sequence <= 20"
    )
    # One that is not old keeps what is behind it, in whichever order they were begun.
    await administer(database_url, "UPDATE trace_events SET created_at = now() WHERE sequence = 18")
    assert await delete_expired_events(database, batch=5) == 16
    kept = await query(database_url, "SELECT sequence FROM trace_events ORDER BY 1")
    assert [row.sequence for row in kept] == list(range(17, 31))
    for count, token in enumerate(tokens):
        if count < 17:
            async with refused("WATCH_TOKEN_OUT_OF_RANGE"):
                await Watcher(server.traces.WatchTraces(request(token))).next()
        else:
            async with watching(server, token) as again:
                if count < 30:
                    assert told(await again.events(30 - count)) == told(events[count:])


async def test_the_last_event_is_kept_however_old(server: RunningServer, database_url: str, database: Database) -> None:
    async with watching(server) as watcher:
        await administer(database_url, many_events(3))
        events = await watcher.events(3)
    await administer(database_url, "UPDATE trace_events SET created_at = now() - interval '1 year'")
    assert await delete_expired_events(database) == 2
    assert await delete_expired_events(database) == 0
    async with watching(server, events[-1].resume_token) as again:
        trace = await created(server, 1)
        assert told(await again.events(1)) == [("CREATED", trace, 1)]
    async with refused("WATCH_TOKEN_OUT_OF_RANGE"):
        await Watcher(server.traces.WatchTraces(request(events[-2].resume_token))).next()


async def test_a_reader_slower_than_the_expiry_is_not_told_less(database: Database, database_url: str) -> None:
    await administer(database_url, many_events(1, age="8 days"))
    following = EventFollower(database)
    watch = EventWatch(database, following)
    async with running(following), aclosing(watch.events(None, read_commons)) as events:
        await anext(events)
        await administer(database_url, many_events(300, age="8 days"))
        # What is old and still there is told.
        assert [len((await anext(events)).events) for _ in range(2)] == [100, 100]
        await delete_expired_events(database)
        with pytest.raises(WatchTokenOutOfRange):
            await anext(events)


async def read_commons() -> ReadableNamespaces:
    return IN_COMMONS


@asynccontextmanager
async def running(following: EventFollower) -> AsyncIterator[None]:
    task = asyncio.create_task(following.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_token_ahead_of_this_server_waits(server: RunningServer, database_url: str) -> None:
    """Another server may have looked later: its number is drawn, and perhaps settled, there alone."""
    await administer(database_url, "SELECT setval(pg_get_serial_sequence('trace_events', 'sequence'), 50)")
    async with watching(server, BY_SEQUENCE.token(request(), 50)) as watcher:
        trace = await created(server, 1)
        assert told(await watcher.events(1)) == [("CREATED", trace, 1)]


async def test_changes_through_another_server(start_server: ServerFactory, database_url: str) -> None:
    other_database = Database(database_url)
    async with start_server() as one, start_server(database=other_database) as other:
        async with watching(one) as watcher:
            ids, took = [], []
            for number in range(10):
                ids.append(await created(other, number))
                began = time.monotonic()
                [event] = await watcher.events(1)
                assert event.trace_id == ids[-1]
                took.append(time.monotonic() - began)
        # Without wake-ups, each would wait for the next look, a second after the one that told of the one before.
        assert statistics.median(took) < 0.5
        async with watching(other, watcher.messages[0].resume_token) as again:
            assert [event.trace_id for event in await again.events(10)] == ids
    await other_database.close()


async def test_a_lost_wake_up_costs_a_second(server: RunningServer, database_url: str) -> None:
    async with watching(server) as watcher:
        # Nobody announces what is written behind the servers' backs.
        await administer(database_url, many_events(1))
        await watcher.events(1)


async def test_a_lost_connection_is_replaced(server: RunningServer, database_url: str) -> None:
    async with watching(server) as watcher:
        for number in range(3):
            await query(
                database_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE '%pg_snapshot_xmin%' AND pid <> pg_backend_pid()",
            )
            trace = await created(server, number)
            assert told(await watcher.events(1)) == [("CREATED", trace, 1)]


async def test_a_database_that_is_away_ends_the_stream(start_server: ServerFactory, database_url: str) -> None:
    name = f"{parse_postgres_url(database_url).database}_away"
    template = parse_postgres_url(database_url).database
    await administer(url_of(database_url, "postgres"), f"CREATE DATABASE {name} TEMPLATE {template}")
    database = Database(url_of(database_url, name))
    async with start_server(database=database) as server:
        watcher = Watcher(server.traces.WatchTraces(request()))
        await watcher.next()
        await administer(url_of(database_url, "postgres"), f"DROP DATABASE {name} WITH (FORCE)")
        async with refused("DATABASE_UNAVAILABLE"):
            await watcher.next()
    await database.close()


async def test_a_stopping_server_ends_every_stream(database: Database, embedder: Embedder) -> None:
    async with AsyncExitStack() as running:
        foundation = Foundation(database=database, embedder=embedder)
        address = await running.enter_async_context(serving(server_settings(), foundation))
        async with grpc.aio.insecure_channel(address) as channel:
            calls = [TraceServiceStub(channel).WatchTraces(request()) for _ in range(50)]
            for call in calls:
                await call.read()
            endings = [asyncio.create_task(reason_of(call.read())) for call in calls]
            began = time.monotonic()
            await running.aclose()
            took = time.monotonic() - began
            assert {await ending for ending in endings} == {"SERVER_STOPPING"}
    assert took < server_settings().stop_grace_seconds / 2
