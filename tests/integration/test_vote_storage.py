"""What votes do to the tables they are stored in."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from uuid import UUID, uuid4

from commontrace.core import voting
from commontrace.core.traces import PENDING
from commontrace.core.voting import DOWN, UP, Ballot, Counted
from commontrace.storage.database import Database
from commontrace.storage.vote_repository import VoteRow
from tests.conftest import query
from tests.integration.storing import stored, unit_vector
from tests.locks import until_waiting

UNREACHABLE = 1_000_000
UPDATES = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'traces'"
ALONE = """
    SELECT true WHERE NOT EXISTS (
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())"""


async def cast(
    database: Database, trace_id: UUID, voter: int, vote_type: str = UP, *, threshold: int = UNREACHABLE
) -> tuple[VoteRow, Counted]:
    reason = None if vote_type == UP else "incorrect"
    ballot = Ballot(trace_id=trace_id, vote_type=vote_type, reason=reason, comment="", revision=None)
    async with database.unit_of_work() as work:
        voter_id = await work.users.ensure(f"voter-{voter}@example.org")
        return await voting.cast(ballot, work, voter_id, validation_threshold=threshold)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    for _ in range(500):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing happened for 5 seconds")


async def test_votes_leave_every_index_alone_while_the_status_stays(database_url: str) -> None:
    chance = Random(0)  # noqa: S311 - not a secret
    database = Database(database_url)
    trace_ids = [
        await stored(
            database,
            id=uuid4(),
            # About 2 KB that do not compress, as the vector does not.
            context="".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=800)),
            solution="".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=1200)),
            embedding=unit_vector(number),
        )
        for number in range(20)
    ]
    for voter in range(15):
        for trace_id in trace_ids:
            await cast(database, trace_id, voter, chance.choice([UP, DOWN]))
    votes_are_recast = [await cast(database, trace_id, 15, UP) for trace_id in trace_ids for _ in range(3)]
    assert {counted.standing.status for _, counted in votes_are_recast} == {PENDING}
    await database.close()
    # What a backend counted is there to read once it has ended.
    await until(lambda: query(database_url, ALONE))
    # One for each vote that changes a tally, none for those that do not.
    assert await query(database_url, UPDATES) == [(16 * 20, 16 * 20)]


async def test_votes_on_a_trace_are_dated_in_the_order_they_are_counted(database: Database) -> None:
    trace_id = await stored(database)
    async with database.unit_of_work() as work:
        # This transaction begins before the other, and votes after it.
        voter_id = await work.users.ensure("voter-1@example.org")
        first, _ = await cast(database, trace_id, 2)
        ballot = Ballot(trace_id=trace_id, vote_type=UP, reason=None, comment="", revision=None)
        second, _ = await voting.cast(ballot, work, voter_id, validation_threshold=UNREACHABLE)
    assert second.created_at > first.created_at
    listed = await database.read(lambda reading: reading.votes.newest_first(trace_id, after=None, size=3))
    assert listed == [second, first]


async def test_a_vote_waits_for_a_new_revision_and_counts_for_it(database: Database, database_url: str) -> None:
    trace_id = await stored(database)
    await cast(database, trace_id, 1)
    async with database.unit_of_work() as work:
        await work.trace_changes.lock_live(trace_id)
        waits = asyncio.create_task(cast(database, trace_id, 2))
        await until_waiting(database_url)
        await work.trace_changes.set(trace_id, {"revision": 2, "confirmation_count": 0, "trust_score": 0.0})
    vote, counted = await waits
    assert (vote.revision, counted.revision, counted.standing.confirmation_count) == (2, 2, 1)
