"""The database's clock was ahead, or behind, and came back: stored times are moved, one kind after the other."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from commontrace.core import cleanup
from commontrace.core.encoding.queue import BatchOutcome, encode_batch
from commontrace.core.keys.cache import KeyCache
from commontrace.core.keys.quotas import Quotas
from commontrace.domain.errors import QuotaExceeded
from commontrace.domain.imports.decisions import Recorded
from commontrace.domain.keys.quotas import READS
from commontrace.domain.namespaces.namespace import COMMONS_ID
from commontrace.embeddings.embedder import Embedder
from commontrace.storage import engines
from commontrace.storage.database import Database
from commontrace.storage.idempotency import RequestKey, StoredAnswer
from tests.conftest import administer, query
from tests.integration.storage.storing import EMAIL, stored
from tests.integration.storage.test_encoding_queue import UNENCODED
from tests.support.keys import a_key

# To whoever looks at a time that is ahead, the clock has come back; at one that is behind, it has caught up.
STEPS = ["-400 days", "-1 hour", "1 hour", "400 days"]
AHEAD = [step for step in STEPS if not step.startswith("-")]


async def move(url: str, table: str, *columns: str, by: str) -> None:
    moved = ", ".join(f"{column} = {column} + interval '{by}'" for column in columns)
    await administer(url, f"UPDATE {table} SET {moved}")  # noqa: S608 - one of ours


async def rows(url: str, table: str) -> Any:
    return await query(url, f"SELECT * FROM {table}")  # noqa: S608 - one of ours


@pytest.mark.parametrize("step", STEPS)
async def test_a_quota_of_another_clock_locks_nobody_out(database: Database, database_url: str, step: str) -> None:
    # What follows must not see the minute turn.
    while (await query(database_url, "SELECT extract(second FROM now()) > 57"))[0][0]:  # noqa: ASYNC110 - it asks Postgres
        await asyncio.sleep(0.2)
    for _ in range(3):
        await Quotas(database, {READS: 3}).spend(EMAIL, READS)
    await move(database_url, "quota_windows", "started_at", by=step)
    quotas = Quotas(database, {READS: 3})
    for _ in range(3):
        await quotas.spend(EMAIL, READS)
    # And the quota is one again.
    with pytest.raises(QuotaExceeded) as refusal:
        await quotas.spend(EMAIL, READS)
    assert refusal.value.retry_after <= 60
    assert await query(database_url, "SELECT used, started_at <= now() FROM quota_windows") == [(3, True)]


async def test_a_window_that_another_server_has_just_begun_is_not_begun_anew(
    database: Database, database_url: str
) -> None:
    await Quotas(database, {READS: 1}).spend(EMAIL, READS)
    # Somebody whose transaction began before the minute turned.
    await administer(database_url, "UPDATE quota_windows SET started_at = date_trunc('minute', now()) + '1 minute'")
    with pytest.raises(QuotaExceeded):
        await Quotas(database, {READS: 1}).spend(EMAIL, READS)


@pytest.mark.parametrize("step", STEPS)
async def test_a_trace_queued_by_another_clock_is_encoded(
    database: Database, database_url: str, embedder: Embedder, step: str
) -> None:
    await queue_one(database)
    await move(database_url, "encoding_jobs", "due_at", "created_at", by=step)
    state = await database.read(lambda reading: reading.encoding_jobs.get_state())
    assert state.oldest_seconds >= 0
    turn = await encode_batch(database, embedder)
    assert (turn.outcome, turn.encoded) == (BatchOutcome.PROCESSED, 1)


@pytest.mark.parametrize("step", ["2 hours", "1 day", "400 days"])
async def test_a_lease_from_beyond_the_longest_has_ended(
    database: Database, database_url: str, embedder: Embedder, step: str
) -> None:
    await queue_one(database)
    async with database.unit_of_work() as work:
        assert len(await work.encoding_jobs.lease(1, lease_seconds=60)) == 1
    assert (await encode_batch(database, embedder)).outcome == BatchOutcome.NOTHING_DUE
    await move(database_url, "encoding_jobs", "due_at", by=step)
    assert (await encode_batch(database, embedder)).encoded == 1


async def test_a_lease_of_a_job_from_the_future_is_one(database: Database, database_url: str) -> None:
    await queue_one(database)
    await move(database_url, "encoding_jobs", "due_at", "created_at", by="1 day")
    found = []
    for _ in range(3):
        async with database.unit_of_work() as work:
            found.append(len(await work.encoding_jobs.lease(1, lease_seconds=60)))
    assert found == [1, 0, 0]


async def queue_one(database: Database) -> None:
    trace_id = await stored(database, **UNENCODED)
    async with database.unit_of_work() as work:
        await work.encoding_jobs.enqueue(trace_id)


# The table, and what removes what has expired from it.
KEPT: list[tuple[str, Callable[[Database], Awaitable[int]]]] = [
    ("idempotent_requests", cleanup.delete_expired_answers),
    ("import_items", cleanup.delete_expired_imports),
    ("trace_events", cleanup.delete_expired_events),
    ("tags", cleanup.delete_unused_tags),
]


@pytest.mark.parametrize(("table", "forget"), KEPT, ids=[table for table, _ in KEPT])
@pytest.mark.parametrize("step", AHEAD)
async def test_what_is_kept_is_kept_longer_and_never_shorter(
    database: Database, database_url: str, table: str, forget: Callable[[Database], Awaitable[int]], step: str
) -> None:
    await one_of_each(database, database_url)
    before = await rows(database_url, table)
    assert before
    await move(database_url, table, "created_at", by=step)
    assert await forget(database) == 0
    # Nothing is made of now: by a clock that is behind, everything is ahead.
    await move(database_url, table, "created_at", by=f"-{step}")
    assert await rows(database_url, table) == before
    # A clock that is right for long enough removes it.
    await move(database_url, table, "created_at", by="-31 days")
    await forget(database)
    left = len(await rows(database_url, table))
    # The last event stays as a mark.
    assert left == (1 if table == "trace_events" else 0)


@pytest.mark.parametrize("step", AHEAD)
async def test_an_answer_of_a_clock_that_was_ahead_is_given_again(
    database: Database, database_url: str, step: str
) -> None:
    key = await one_of_each(database, database_url)
    await move(database_url, "idempotent_requests", "created_at", by=step)
    assert await database.read(lambda reading: reading.idempotency.get_answer(key, EMAIL)) == (b"answer", [COMMONS_ID])
    async with database.unit_of_work() as work:
        assert not await work.idempotency.reserve(key, await work.users.get_or_create(EMAIL))


@pytest.mark.parametrize("step", AHEAD)
async def test_events_of_a_clock_that_was_ahead_keep_those_behind_them(
    database: Database, database_url: str, step: str
) -> None:
    trace_id = await stored(database)
    for _ in range(4):
        async with database.unit_of_work() as work:
            await work.events.add(trace_id, "updated", revision=1, namespace_id=COMMONS_ID)
    [first] = (await query(database_url, "SELECT min(sequence) FROM trace_events"))[0]
    await move(database_url, "trace_events", "created_at", by="-8 days")
    await administer(
        database_url,
        f"UPDATE trace_events SET created_at = now() + interval '{step}' WHERE sequence = {first + 1}",  # noqa: S608
    )
    assert await cleanup.delete_expired_events(database) == 0
    kept = await database.read(lambda reading: reading.events.get_retained())
    assert kept.has_all_after(first)


async def one_of_each(database: Database, url: str) -> RequestKey:
    """An answer, an imported item, an event, and an unused tag, all of now."""
    key = RequestKey(method="m", request_id=uuid4(), fingerprint=b"f")
    trace_id = await stored(database)
    await administer(url, "DELETE FROM trace_tags")
    await administer(url, "DELETE FROM tags")
    await administer(url, "DELETE FROM trace_events")
    async with database.unit_of_work() as work:
        caller_id = await work.users.get_or_create(EMAIL)
        assert await work.idempotency.reserve(key, caller_id)
        await work.idempotency.save_answer(key, caller_id, StoredAnswer(b"answer", [COMMONS_ID]))
        await work.tags.get_or_create(["unused"])
        await work.events.add(trace_id, "updated", revision=1, namespace_id=COMMONS_ID)
        recorded = Recorded(trace_id=trace_id, is_new=True, namespace_id=COMMONS_ID)
        await work.imports.save_items(uuid4(), caller_id, {1: recorded})
    return key


@pytest.mark.parametrize("step", STEPS)
async def test_a_key_lives_by_the_clock_of_now(database: Database, database_url: str, step: str) -> None:
    key = await a_key(database, EMAIL)
    await administer(database_url, "UPDATE api_keys SET expires_at = now() + interval '1 minute', last_used_at = now()")
    await move(database_url, "api_keys", "created_at", "expires_at", "last_used_at", by=step)
    async with database.unit_of_work() as work:
        row = await work.keys.get(key.id)
    assert row is not None
    # It ends at the time that was written down: later by what the clock was ahead, earlier by what it was behind.
    assert row.state == ("EXPIRED" if step in STEPS[:2] else "LIVE")
    if row.state == "LIVE":
        known = KeyCache(database)
        assert (await known.load(key.text)).email == EMAIL
        await known.save_usage()
        assert await query(database_url, "SELECT last_used_at <= now() FROM api_keys") == [(True,)]
    # Revoking it does not ask the time.
    await move(database_url, "api_keys", "expires_at", by="800 days")
    async with database.unit_of_work() as work:
        await work.keys.revoke(key.id)
    await move(database_url, "api_keys", "revoked_at", by=step)
    row = await database.read(lambda reading: reading.keys.get(key.id))
    assert row is not None
    assert row.state == "REVOKED"


async def test_a_failure_while_the_clock_of_a_server_was_ahead_does_not_cost_connections_for_ever(
    database_url: str,
) -> None:
    engine = engines.pooled(database_url, engines.SESSION_SETTINGS, size=1, timeout=5)

    async def backend() -> Any:
        async with engine.connect() as connection:
            return (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()

    first = await backend()
    pool: Any = engine.sync_engine.pool
    pool._invalidate_time += 1e10
    await backend()
    await asyncio.sleep(0.01)
    settled = await backend()
    assert first != settled
    assert {await backend() for _ in range(5)} == {settled}
    await engine.dispose()
