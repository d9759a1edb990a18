"""Changes that the service makes, each to many traces, in transactions as it makes them: for counts of HOT updates."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from random import Random
from uuid import UUID, uuid4

from commontrace.core.traces import delete as trace_deletion
from commontrace.core.traces import moderate as trace_moderation
from commontrace.core.votes import service as vote_service
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.namespaces.namespace import COMMONS_ID
from commontrace.domain.scopes import EVERYTHING
from commontrace.domain.votes.ballot import DOWN, UP, Ballot
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage.database import Database
from commontrace.storage.encoding.jobs import EncodingJobRepository, LeasedJob
from commontrace.storage.idempotency import RequestKey, StoredAnswer
from commontrace.storage.unit_of_work import UnitOfWork
from tests.integration.storage.storing import EMAIL, stored, unit_vector

Change = Callable[[Database, list[UUID]], Awaitable[None]]


async def store(database: Database, count: int) -> list[UUID]:
    """Traces of about 2 KB that do not compress, as the vector does not."""
    chance = Random(0)  # noqa: S311 - not a secret

    def words(length: int) -> str:
        return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz ", k=length))

    return [
        await stored(database, context=words(800), solution=words(1200), embedding=unit_vector(number))
        for number in range(count)
    ]


def each(change: Callable[[UUID, UnitOfWork], Awaitable[object]]) -> Change:
    """The change of every trace in a transaction of its own."""

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


async def vote_again(database: Database, trace_ids: list[UUID]) -> None:
    for vote_type in (UP, DOWN, UP):
        await each(partial(vote, voter=0, vote_type=vote_type))(database, trace_ids)


async def validate(trace_id: UUID, work: UnitOfWork) -> None:
    for voter in range(2):
        await vote(trace_id, work, voter)


async def validate_and_retract(trace_id: UUID, work: UnitOfWork) -> None:
    await validate(trace_id, work)
    voter_id = await work.users.get_or_create("voter-1@example.org")
    await vote_service.retract(trace_id, work, voter_id, COMMONS_ONLY, validation_threshold=2)


async def supersede(trace_id: UUID, work: UnitOfWork) -> None:
    await work.trace_changes.update(trace_id, {"superseded_by_id": trace_id})


async def touch(trace_id: UUID, work: UnitOfWork) -> None:
    await work.trace_changes.touch(trace_id, {"agent_version": "2"})


async def delete(trace_id: UUID, work: UnitOfWork) -> None:
    await trace_deletion.delete(trace_id, "", work, await work.users.get_or_create(EMAIL), COMMONS_ONLY)


async def hide(trace_id: UUID, work: UnitOfWork) -> None:
    await trace_moderation.hide(trace_id, "spam", work, COMMONS_ONLY)


async def encode(trace_id: UUID, work: UnitOfWork) -> None:
    await work.trace_changes.set_vector(trace_id, unit_vector(1_000), LexicalEmbedder(384))


async def answer(trace_id: UUID, work: UnitOfWork) -> None:
    key = RequestKey(method="/CastVote", request_id=trace_id, fingerprint=bytes(32))
    caller_id = await work.users.get_or_create(EMAIL)
    await work.idempotency.reserve(key, caller_id)
    await work.idempotency.save_answer(key, caller_id, StoredAnswer(bytes(40), [COMMONS_ID]))


async def use_quota(trace_id: UUID, work: UnitOfWork) -> None:
    del trace_id
    await work.quotas.lease(EMAIL, "reads", needed=1, wanted=1, limit=1_000_000)


async def use_key(database: Database, trace_ids: list[UUID]) -> None:
    key_id = uuid4()
    async with database.unit_of_work() as work:
        user_id = await work.users.get_or_create(EMAIL)
        lasting = timedelta(days=1)
        await work.keys.add(key_id, user_id, digest=bytes(32), scopes=EVERYTHING, label="", expires_in=lasting)
    for _ in trace_ids:
        async with database.unit_of_work() as work:
            await work.keys.record_use([key_id])


async def fail_to_encode(database: Database, trace_ids: list[UUID]) -> None:
    """Each job is leased and released, leased and postponed, leased and marked as dead."""
    ends: Sequence[Callable[[EncodingJobRepository, list[LeasedJob]], Awaitable[None]]] = (
        EncodingJobRepository.release,
        partial(EncodingJobRepository.postpone, seconds=0.0, why="it fails"),
        partial(EncodingJobRepository.mark_dead, why="it fails"),
    )
    for trace_id in trace_ids:
        async with database.unit_of_work() as work:
            await work.encoding_jobs.enqueue(trace_id)
        for end in ends:
            async with database.unit_of_work() as work:
                jobs = await work.encoding_jobs.lease(1, lease_seconds=60)
            async with database.unit_of_work() as work:
                await end(work.encoding_jobs, jobs)
