"""Updates of traces that leave every index alone, the vectors' above all (ADR 0048), and those that cannot."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from uuid import UUID

import pytest

from commontrace.core.traces import delete as trace_deletion
from commontrace.core.traces import moderate as trace_moderation
from commontrace.core.votes import service as vote_service
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.votes.ballot import DOWN, UP, Ballot
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage.database import Database
from commontrace.storage.unit_of_work import UnitOfWork
from tests.conftest import administer, query
from tests.integration.storage.storing import EMAIL, stored, unit_vector

COUNT = 40
UPDATES = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'traces'"
ALONE = """
    SELECT true WHERE NOT EXISTS (
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())"""
MENTIONED = """
    SELECT DISTINCT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid
    WHERE indrelid = 'traces'::regclass AND (attnum = ANY (indkey) OR EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = indexrelid
            AND refclassid = 'pg_class'::regclass AND refobjid = indrelid AND refobjsubid = attnum))
    ORDER BY attname"""


async def until(url: str, condition: str) -> None:
    for _ in range(500):
        if await query(url, condition):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing happened for 5 seconds")


Change = Callable[[Database, list[UUID]], Awaitable[None]]


async def store(database: Database) -> list[UUID]:
    """Traces of about 2 KB that do not compress, as the vector does not."""
    chance = Random(0)  # noqa: S311 - not a secret

    def words(length: int) -> str:
        return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=length))

    return [
        await stored(database, context=words(800), solution=words(1200), embedding=unit_vector(number))
        for number in range(COUNT)
    ]


def each(change: Callable[[UUID, UnitOfWork], Awaitable[object]]) -> Change:
    async def to_each(database: Database, trace_ids: list[UUID]) -> None:
        for trace_id in trace_ids:
            async with database.unit_of_work() as work:
                await change(trace_id, work)

    return to_each


async def vote(trace_id: UUID, work: UnitOfWork, voter: int, vote_type: str = UP, *, threshold: int = 2) -> None:
    reason = None if vote_type == UP else "incorrect"
    ballot = Ballot(trace_id=trace_id, vote_type=vote_type, reason=reason, comment="", revision=None)
    voter_id = await work.users.get_or_create(f"voter-{voter}@example.org")
    await vote_service.cast(ballot, work, voter_id, COMMONS_ONLY, validation_threshold=threshold)


async def vote_often(database: Database, trace_ids: list[UUID]) -> None:
    for voter in range(15):
        await each(partial(vote, voter=voter, vote_type=UP if voter % 3 else DOWN, threshold=1_000_000))(
            database, trace_ids
        )


async def validate(trace_id: UUID, work: UnitOfWork) -> None:
    for voter in range(2):
        await vote(trace_id, work, voter)


async def validate_and_retract(trace_id: UUID, work: UnitOfWork) -> None:
    await validate(trace_id, work)
    voter_id = await work.users.get_or_create("voter-1@example.org")
    await vote_service.retract(trace_id, work, voter_id, COMMONS_ONLY, validation_threshold=2)


async def supersede(trace_id: UUID, work: UnitOfWork) -> None:
    await work.trace_changes.update(trace_id, {"superseded_by_id": trace_id})


async def fail_to_encode(trace_id: UUID, work: UnitOfWork) -> None:
    await work.encoding_jobs.enqueue(trace_id)
    jobs = await work.encoding_jobs.lease(1, lease_seconds=60)
    await work.encoding_jobs.postpone(jobs, 0.0, "it fails")
    await work.encoding_jobs.mark_dead(jobs, "it fails")


async def encode(trace_id: UUID, work: UnitOfWork) -> None:
    await work.trace_changes.set_vector(trace_id, unit_vector(1_000), LexicalEmbedder(384))


async def delete(trace_id: UUID, work: UnitOfWork) -> None:
    await trace_deletion.delete(trace_id, "", work, await work.users.get_or_create(EMAIL), COMMONS_ONLY)


async def hide(trace_id: UUID, work: UnitOfWork) -> None:
    await trace_moderation.hide(trace_id, "spam", work, COMMONS_ONLY)


@pytest.mark.parametrize(
    ("change", "updates", "hot"),
    [
        pytest.param(vote_often, 15, 15, id="votes"),
        pytest.param(each(validate), 2, 2, id="validation"),
        pytest.param(each(validate_and_retract), 3, 3, id="demotion"),
        pytest.param(each(supersede), 1, 1, id="succession"),
        pytest.param(each(fail_to_encode), 0, 0, id="encoding queue"),
        # What says that and why it is hidden is. Deletion is not: content and succession are unique among live traces.
        pytest.param(each(hide), 2, 1, id="moderation"),
        pytest.param(each(delete), 1, 0, id="deletion"),
        # Of the column that the vector index holds.
        pytest.param(each(encode), 1, 0, id="encoding"),
    ],
)
async def test_updates_leave_every_index_alone(database_url: str, change: Change, updates: int, hot: int) -> None:
    database = Database(database_url)
    trace_ids = await store(database)
    await change(database, trace_ids)
    await database.close()
    # What a backend counted is there to read once it has ended.
    await until(database_url, ALONE)
    assert await query(database_url, UPDATES) == [(COUNT * updates, COUNT * hot)]


async def test_indexes_mention_only_what_votes_and_validations_leave_alone(database_url: str) -> None:
    """As a column, in an expression or in a predicate."""
    assert [name for (name,) in await query(database_url, MENTIONED)] == [
        *("content_hash", "contributor_id", "created_at", "deleted_at", "embedding", "id"),
        *("promoted_from_id", "supersedes_id"),
    ]
    await administer(database_url, "CREATE INDEX by_predicate ON traces (id) WHERE status = 'pending'")
    await administer(database_url, "CREATE INDEX by_expression ON traces (lower(hide_reason))")
    assert {("status",), ("hide_reason",)} <= set(await query(database_url, MENTIONED))
