"""Effects of votes on the tables they are stored in."""

import asyncio
from uuid import UUID

from commontrace.core.votes import service as vote_service
from commontrace.core.votes.service import TraceStanding
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.votes.ballot import UP, Ballot
from commontrace.storage.database import Database
from commontrace.storage.votes.repository import VoteRow
from tests.integration.storage.storing import stored
from tests.support.commons import IN_COMMONS
from tests.support.locks import until_waiting

UNREACHABLE = 1_000_000


async def cast(
    database: Database, trace_id: UUID, voter: int, vote_type: str = UP, *, threshold: int = UNREACHABLE
) -> tuple[VoteRow, TraceStanding]:
    reason = None if vote_type == UP else "incorrect"
    ballot = Ballot(trace_id=trace_id, vote_type=vote_type, reason=reason, comment="", revision=None)
    async with database.unit_of_work() as work:
        voter_id = await work.users.get_or_create(f"voter-{voter}@example.org")
        return await vote_service.cast(ballot, work, voter_id, COMMONS_ONLY, validation_threshold=threshold)


async def test_votes_on_a_trace_are_dated_in_the_order_they_are_counted(database: Database) -> None:
    trace_id = await stored(database)
    async with database.unit_of_work() as work:
        # This transaction begins before the other, and votes after it.
        voter_id = await work.users.get_or_create("voter-1@example.org")
        first, _ = await cast(database, trace_id, 2)
        ballot = Ballot(trace_id=trace_id, vote_type=UP, reason=None, comment="", revision=None)
        second, _ = await vote_service.cast(ballot, work, voter_id, COMMONS_ONLY, validation_threshold=UNREACHABLE)
    assert second.created_at > first.created_at
    listed = await database.read(
        lambda reading: reading.votes.list_newest_first(trace_id, IN_COMMONS, after=None, size=3)
    )
    assert listed == [second, first]


async def test_a_vote_waits_for_a_new_revision_and_counts_for_it(database: Database, database_url: str) -> None:
    trace_id = await stored(database)
    await cast(database, trace_id, 1)
    async with database.unit_of_work() as work:
        await work.trace_changes.lock_live(trace_id, IN_COMMONS)
        waits = asyncio.create_task(cast(database, trace_id, 2))
        await until_waiting(database_url)
        await work.trace_changes.update(trace_id, {"revision": 2, "confirmation_count": 0, "trust_score": 0.0})
    vote, counted = await waits
    assert (vote.revision, counted.revision, counted.standing.confirmation_count) == (2, 2, 1)
