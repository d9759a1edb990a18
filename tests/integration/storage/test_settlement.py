"""Watermark of the event log, while transactions draw numbers, wait, commit and roll back on a real Postgres."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import Random

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from commontrace.domain.events.commit_order import CommitOrder, Snapshot
from commontrace.storage import engines
from commontrace.storage.database import Database
from commontrace.storage.events.repository import EventRange
from commontrace.storage.events.tail import EventTail
from commontrace.storage.unit_of_work import Reading
from tests.conftest import query
from tests.support.commons import IN_COMMONS

WRITERS, CHANGES = 16, 600
DRAW = text("INSERT INTO trace_events (trace_id, event_type, revision) VALUES (gen_random_uuid(), 'updated', 1)")
BEGINS = text("SELECT pg_current_xact_id()::text::bigint")
SNAPSHOT = text(
    "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() AS s"
)


class Writers:
    """Transactions that do nothing but draw numbers, under control."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def transaction(self, *, draws: bool = True) -> AsyncIterator[AsyncConnection]:
        """One that has an id, and usually an event; it commits when left, unless rolled back inside."""
        async with self._engine.connect() as connection:
            await connection.execute(BEGINS)
            if draws:
                await draw(connection)
            yield connection
            await connection.commit()


@pytest.fixture
async def writers(database_url: str) -> AsyncIterator[Writers]:
    engine = engines.pooled(database_url, engines.SESSION_SETTINGS, size=WRITERS, timeout=10)
    yield Writers(engine)
    await engine.dispose()


@pytest.fixture
async def tail(database: Database) -> AsyncIterator[EventTail]:
    async with database.tail_events(lambda: None) as tail:
        yield tail


async def draw(connection: AsyncConnection) -> None:
    await connection.execute(DRAW)


async def settled(settlement: CommitOrder, tail: EventTail) -> int | None:
    """What is settled after as many looks as teach something."""
    for _ in range(3):
        settlement.apply(await tail.take_snapshot(settlement.watermark, draws=not settlement.has_gap))
    return settlement.watermark


@pytest.fixture
async def settlement(tail: EventTail) -> CommitOrder:
    """One that knows an empty table."""
    settlement = CommitOrder()
    assert await settled(settlement, tail) == 0
    return settlement


async def test_what_has_no_gap_is_settled_at_once(writers: Writers, settlement: CommitOrder, tail: EventTail) -> None:
    async with writers.transaction() as late:
        for _ in range(3):
            await draw(late)
    assert settlement.apply(await tail.take_snapshot(0, draws=True)) is False
    assert (settlement.watermark, settlement.has_gap) == (4, False)


async def test_a_gap_waits_for_its_transaction(writers: Writers, settlement: CommitOrder, tail: EventTail) -> None:
    async with writers.transaction() as early:
        async with writers.transaction():
            pass
        assert await settled(settlement, tail) == 0
        await draw(early)
    assert await settled(settlement, tail) == 3


async def test_a_gap_ends_with_a_rollback(writers: Writers, settlement: CommitOrder, tail: EventTail) -> None:
    async with writers.transaction() as early:
        async with writers.transaction():
            pass
        assert await settled(settlement, tail) == 0
        await early.rollback()
        assert await settled(settlement, tail) == 2


async def test_the_upper_end_of_a_snapshot_is_no_horizon(
    writers: Writers, settlement: CommitOrder, tail: EventTail, database_url: str
) -> None:
    """A number's transaction may have a higher id than whatever has ended, and so stand outside of the snapshot."""
    async with AsyncExitStack() as stack:
        late = await stack.enter_async_context(writers.transaction(draws=False))
        # Its id is higher, its number lower.
        early = await stack.enter_async_context(writers.transaction())
        await draw(late)
        await late.commit()
        [(oldest_running, upper_end)] = await query(database_url, str(SNAPSHOT))
        assert oldest_running == upper_end == await early.scalar(BEGINS)
        mistaken = CommitOrder()
        mistaken.watermark = 0
        for _ in range(2):
            mistaken.apply(Snapshot(count=1, last=2, oldest_running=oldest_running, drawn=upper_end))
        assert mistaken.watermark == 2
        # An id that is drawn behind the snapshot is above them all.
        assert await settled(settlement, tail) == 0
    assert await settled(settlement, tail) == 2
    [first, second] = await query(database_url, "SELECT sequence FROM trace_events ORDER BY 1")
    assert (first.sequence, second.sequence) == (1, 2)


async def test_savepoints_hold_their_gaps_as_long_as_their_transaction(
    writers: Writers, settlement: CommitOrder, tail: EventTail
) -> None:
    async with writers.transaction(draws=False) as outer:
        nested = await outer.begin_nested()
        await draw(outer)
        await nested.rollback()
        inner = await outer.begin_nested()
        await draw(outer)
        await inner.commit()
        async with writers.transaction():
            pass
        # 1 was rolled back, but who knows that: 2 is still to come.
        assert await settled(settlement, tail) == 0
    assert await settled(settlement, tail) == 3


async def test_a_long_transaction_that_tells_nothing_delays_only_gaps(
    writers: Writers, settlement: CommitOrder, tail: EventTail
) -> None:
    async with writers.transaction(draws=False):
        async with writers.transaction():
            pass
        assert await settled(settlement, tail) == 1
        async with writers.transaction() as rolled_back:
            await rolled_back.rollback()
        async with writers.transaction():
            pass
        assert await settled(settlement, tail) == 1
    assert await settled(settlement, tail) == 3


async def test_a_transaction_that_only_reads_delays_nothing(
    writers: Writers, settlement: CommitOrder, tail: EventTail, database_url: str
) -> None:
    engine = engines.unpooled(database_url)
    async with engine.connect() as reader:
        await reader.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        await reader.execute(text("SELECT count(*) FROM trace_events"))
        async with writers.transaction() as rolled_back:
            await rolled_back.rollback()
        async with writers.transaction():
            pass
        assert await settled(settlement, tail) == 2
    await engine.dispose()


async def test_the_first_look_waits_for_what_is_under_way(writers: Writers, tail: EventTail) -> None:
    settlement = CommitOrder()
    async with writers.transaction():
        async with writers.transaction():
            pass
        assert await settled(settlement, tail) is None
    assert await settled(settlement, tail) == 2


async def test_looks_draw_ids_only_for_gaps(writers: Writers, settlement: CommitOrder, tail: EventTail) -> None:
    async with writers.transaction():
        pass
    assert (await tail.take_snapshot(0, draws=True)).drawn is None
    assert (await tail.take_snapshot(1, draws=True)).drawn is None
    async with writers.transaction() as rolled_back:
        await rolled_back.rollback()
    async with writers.transaction():
        pass
    assert (await tail.take_snapshot(1, draws=True)).drawn is not None
    assert (await tail.take_snapshot(1, draws=False)).drawn is None
    assert await settled(settlement, tail) == 3


async def test_numbers_are_drawn_one_by_one(database_url: str) -> None:
    """With a cache, a session would keep numbers that it uses after others have used higher ones."""
    [row] = await query(
        database_url,
        "SELECT seqcache, seqincrement, seqcycle FROM pg_sequence"
        " WHERE seqrelid = pg_get_serial_sequence('trace_events', 'sequence')::regclass",
    )
    assert tuple(row) == (1, 1, False)


async def list_between(after: int, up_to: int, reading: Reading) -> EventRange:
    return await reading.events.list_between(after, up_to, IN_COMMONS, limit=10_000)


class Follower:
    """Reads what its rule calls settled, as somebody who watches does."""

    def __init__(self, tail: EventTail) -> None:
        self.told: list[int] = []
        self._tail = tail
        self._settlement = CommitOrder()
        self._position = 0

    async def settled(self) -> int | None:
        settlement = self._settlement
        settlement.apply(await self._tail.take_snapshot(settlement.watermark, draws=not settlement.has_gap))
        return settlement.watermark

    async def follow(self, database: Database, until: asyncio.Event) -> None:
        looks_left = 5
        while looks_left:
            looks_left -= until.is_set()
            after, settled = self._position, await self.settled() or 0
            found = await database.read(partial(list_between, after, settled))
            self.told.extend(row.sequence for row in found.events)
            self._position = max(self._position, settled)
            await asyncio.sleep(0.001)


class FollowerOfWhateverIsVisible(Follower):
    """Without a rule for gaps."""

    async def settled(self) -> int | None:
        return (await self._tail.take_snapshot(self._position, draws=False)).last


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "is_safe"),
    [(Follower, True), (FollowerOfWhateverIsVisible, False)],
    ids=["the rule", "no rule"],
)
async def test_racing_writers(
    writers: Writers,
    tail: EventTail,
    database: Database,
    record_property: Callable[[str, object], None],
    *,
    kind: type[Follower],
    is_safe: bool,
) -> None:
    """A follower reads every event once; without the rule it misses some, so the race is one."""
    chance = Random(11)  # noqa: S311 - no secret
    numbers = iter(range(CHANGES))

    async def write() -> None:
        for number in numbers:
            async with writers.transaction(draws=number % 2 == 0) as connection:
                if number % 7 == 0:
                    nested = await connection.begin_nested()
                    await draw(connection)
                    await nested.rollback()
                await asyncio.sleep(chance.random() * 0.01)
                await draw(connection)
                await asyncio.sleep(chance.random() * 0.01)
                if number % 5 == 0:
                    await connection.rollback()

    follower, is_over = kind(tail), asyncio.Event()
    following = asyncio.create_task(follower.follow(database, is_over))
    await asyncio.gather(*(write() for _ in range(WRITERS)))
    is_over.set()
    await following
    found = await database.read(lambda reading: reading.events.list_between(0, 2**62, IN_COMMONS, limit=100_000))
    happened = [row.sequence for row in found.events]
    lost = len(set(happened) - set(follower.told))
    rolled_back = happened[-1] - len(happened)
    record_property("counted", f"{len(happened)} events, {rolled_back} numbers rolled back, {lost} lost")
    assert follower.told == sorted(set(follower.told))
    assert rolled_back > CHANGES / 10
    assert (lost == 0) is is_safe
