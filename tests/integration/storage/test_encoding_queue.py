"""The encoding queue, batch by batch, on a real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from structlog.testing import capture_logs

from commontrace.core.encoding.queue import MOST_ATTEMPTS, BatchOutcome, encode_batch, requeue
from commontrace.core.encoding.worker import drain_queue, run_encoding
from commontrace.core.traces import moderate as trace_moderation
from commontrace.core.traces import update as trace_update
from commontrace.core.traces.update import Edit
from commontrace.domain.errors import ModelReplaced
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.traces.contribution import embedding_text
from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, Vector
from commontrace.settings import LEASE_SECONDS
from commontrace.storage.database import Database
from commontrace.storage.search.trace_tokens import TokensOfRevision
from tests.conftest import administer, query
from tests.integration.storage.storing import EMAIL, stored
from tests.support.commons import IN_COMMONS
from tests.support.told_embedder import ToldEmbedder, away, refusing

UNENCODED: dict[str, Any] = {"embedding": None, "embedding_model_id": None, "embedding_model_version": None}
JOBS = "SELECT attempts, last_error, given_up_at, extract(epoch FROM due_at - now())::float AS due_in, trace_id FROM "
JOBS += "encoding_jobs ORDER BY due_at, trace_id"
DUE_NOW = "UPDATE encoding_jobs SET due_at = now() WHERE given_up_at IS NULL"


async def queued(database: Database, *titles: str) -> list[UUID]:
    ids = [await stored(database, title=title, **UNENCODED) for title in titles]
    for trace_id in ids:
        async with database.unit_of_work() as work:
            await work.encoding_jobs.enqueue(trace_id)
    return ids


async def vector_of(database: Database, trace_id: UUID) -> Vector | None:
    return await database.read(lambda reading: reading.traces.get_embedding(trace_id, IN_COMMONS))


async def edited(database: Database, embedder: Any, trace_id: UUID, title: str) -> None:
    prepared = await trace_update.prepare(
        Edit(trace_id=trace_id, values={"title": title}), EMAIL, COMMONS_ONLY, database=database, embedder=embedder
    )
    async with database.unit_of_work() as work:
        await prepared.store(work, await work.users.get_or_create(EMAIL))


@asynccontextmanager
async def under_way(database: Database, told: ToldEmbedder) -> AsyncIterator["asyncio.Task[Any]"]:
    """A batch whose texts have been read and are being encoded, until the block ends."""
    told.gate.clear()
    told.waits.clear()
    result = asyncio.create_task(encode_batch(database, told))
    await told.waits.wait()
    yield result
    told.gate.set()


async def is_found_by(database: Database, embedder: Embedder, trace_id: UUID, title: str) -> bool:
    """Whether the trace has the vector of its text under this title."""
    [embedding] = await embedder.encode([embedding_text(title, "context", "solution")])
    vector = await vector_of(database, trace_id)
    return vector is not None and float(np.dot(vector, embedding.vector)) > 1 - 1e-6


async def test_what_is_due_is_encoded_in_batches_oldest_first(
    database: Database, database_url: str, told: ToldEmbedder, embedder: Embedder
) -> None:
    ids = await queued(database, *(f"title {number}" for number in range(19)))
    async with database.unit_of_work() as work:
        await work.trace_changes.mark_deleted(ids[0])
    result = await drain_queue(database, told, lease_seconds=LEASE_SECONDS)
    assert (result.encoded, result.given_up, result.outcome) == (19, 0, BatchOutcome.NOTHING_DUE)
    assert [len(texts) for texts in told.asked] == [8, 8, 3]
    assert sorted(told.asked[0])[0].startswith("title 0\n")
    assert await query(database_url, JOBS) == []
    for number in (1, 18):
        assert await is_found_by(database, embedder, ids[number], f"title {number}")
    [[wrong]] = await query(
        database_url,
        "SELECT count(*) FROM traces WHERE embedding IS NULL OR revision <> 1 OR updated_at <> created_at",
    )
    assert wrong == 0


async def test_no_lock_and_no_transaction_is_held_while_a_text_is_encoded(
    database: Database, database_url: str, told: ToldEmbedder
) -> None:
    [trace_id] = await queued(database, "slow")
    async with under_way(database, told) as result:
        activity = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        [[open_ones]] = await query(database_url, f"SELECT count(*) FROM {activity} AND xact_start IS NOT NULL")  # noqa: S608 - ours
        locks = "pg_locks WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        [[held]] = await query(database_url, f"SELECT count(*) FROM {locks} AND pid <> pg_backend_pid()")  # noqa: S608 - ours
        assert (open_ones, held) == (0, 0)
        # It is taken, for as long as the lease.
        assert (await encode_batch(database, told)).outcome is BatchOutcome.NOTHING_DUE
        [job] = await query(database_url, JOBS)
        assert job.attempts == 1
        assert LEASE_SECONDS - 20 < job.due_in <= LEASE_SECONDS
    assert (await result).encoded == 1
    assert await vector_of(database, trace_id) is not None


async def test_a_purge_meanwhile_does_not_keep_the_others_from_their_vectors(
    database: Database, database_url: str, told: ToldEmbedder
) -> None:
    purged, other = await queued(database, "purged", "other")
    async with under_way(database, told) as result, database.unit_of_work() as work:
        await trace_moderation.purge(purged, work, EMAIL, COMMONS_ONLY)
    assert (await result).encoded == 1
    assert await vector_of(database, other) is not None
    assert await query(database_url, JOBS) == []


async def test_an_edit_meanwhile_keeps_the_stale_vector_out(
    database: Database, database_url: str, told: ToldEmbedder, embedder: Embedder
) -> None:
    absent = ToldEmbedder(embedder)
    absent.answer = away
    waits, done = await queued(database, "first", "second")
    async with under_way(database, told) as result:
        await edited(database, absent, waits, "first, better")
        await edited(database, embedder, done, "second, better")
    assert (await result).encoded == 0
    assert await vector_of(database, waits) is None
    assert await is_found_by(database, embedder, done, "second, better")
    [job] = await query(database_url, JOBS)
    assert (job.trace_id, job.attempts, job.due_in <= 0) == (waits, 0, True)
    assert (await encode_batch(database, embedder)).encoded == 1
    assert await is_found_by(database, embedder, waits, "first, better")
    assert await query(database_url, JOBS) == []


async def test_an_edit_while_queued_is_what_gets_encoded(
    database: Database, database_url: str, told: ToldEmbedder, embedder: Embedder
) -> None:
    told.answer = away
    again, now = await queued(database, "first", "second")
    await administer(database_url, "UPDATE encoding_jobs SET given_up_at = now(), attempts = 20, last_error = 'old'")
    await edited(database, told, again, "first, better")
    await edited(database, embedder, now, "second, better")
    [job] = await query(database_url, JOBS)
    assert (job.trace_id, job.attempts, job.last_error, job.given_up_at) == (again, 0, "", None)
    assert (await encode_batch(database, embedder)).encoded == 1
    assert await is_found_by(database, embedder, again, "first, better")


async def test_an_embedder_that_is_away_costs_no_attempt(
    database: Database, database_url: str, told: ToldEmbedder
) -> None:
    await queued(database, "one", "two")
    told.answer = away
    result = await encode_batch(database, told)
    assert result.outcome is BatchOutcome.EMBEDDER_UNAVAILABLE
    assert (result.why, result.retry_after) == ("the endpoint is away", None)

    def overloaded(_texts: object) -> None:
        raise EmbedderUnavailable("too many", retry_after=42)

    told.answer = overloaded
    assert (await encode_batch(database, told)).retry_after == 42
    rows = await query(database_url, JOBS)
    assert {(row.attempts, row.last_error, row.due_in <= 0) for row in rows} == {(0, "too many", True)}
    with pytest.raises(EmbedderUnavailable, match="too many"):
        await drain_queue(database, told, lease_seconds=LEASE_SECONDS)


async def test_a_text_that_cannot_be_encoded_is_given_up_and_blocks_nobody(
    database: Database, database_url: str, told: ToldEmbedder
) -> None:
    ids = await queued(database, "one", "two", "poison", "three")
    told.answer = refusing("poison")
    with capture_logs() as logs:
        result = await drain_queue(database, told, lease_seconds=LEASE_SECONDS)
        assert result.encoded == 3
        [job] = await query(database_url, JOBS)
        assert (job.trace_id, job.attempts, job.last_error) == (ids[2], 2, "ValueError")
        assert 1.5 < job.due_in <= 4
        # Most of the failures that follow are like this one.
        await administer(database_url, DUE_NOW.replace(" SET ", f" SET attempts = {MOST_ATTEMPTS - 3}, "))
        for attempts in range(MOST_ATTEMPTS - 2, MOST_ATTEMPTS + 1):
            result = await encode_batch(database, told)
            [job] = await query(database_url, JOBS)
            assert (job.attempts, job.given_up_at is not None) == (attempts, attempts == MOST_ATTEMPTS)
            assert result.given_up or 1790 < job.due_in <= 3600
            await administer(database_url, DUE_NOW)
    assert [line["trace_id"] for line in logs if "is given up" in line["event"]] == [str(ids[2])]
    assert (await encode_batch(database, told)).outcome is BatchOutcome.NOTHING_DUE
    told.answer = lambda _texts: None
    assert await requeue(database) == 1
    assert (await encode_batch(database, told)).encoded == 1


async def test_vectors_that_searches_could_not_use_are_not_stored(
    database: Database, database_url: str, told: ToldEmbedder, embedder: Embedder
) -> None:
    [trace_id] = await queued(database, "broken")
    [good] = await embedder.encode(["good"])
    for attempts, value in enumerate((np.nan, 0.0, 2.0), start=1):
        broken = replace(good, vector=np.full_like(good.vector, value))
        told.answer = lambda texts, broken=broken: [broken] if "broken" in texts[0] else None  # type: ignore[misc]
        assert (await encode_batch(database, told)).outcome is BatchOutcome.PROCESSED
        assert await vector_of(database, trace_id) is None
        [job] = await query(database_url, JOBS)
        said = "the embedder answered with a vector that is not of unit length"
        assert (job.attempts, job.last_error) == (attempts, said)
        await administer(database_url, DUE_NOW)


async def test_what_a_dead_worker_had_comes_back_alone_and_is_given_up_if_it_kills_them_all(
    database: Database, database_url: str, embedder: Embedder
) -> None:
    async def leased(lease_seconds: float) -> list[UUID]:
        async with database.unit_of_work() as work:
            jobs = await work.encoding_jobs.lease(8, lease_seconds=lease_seconds)
        return [job.trace_id for job in jobs]

    ids = await queued(database, "one", "two", "three")
    assert set(await leased(0.5)) == set(ids)
    assert await leased(0.5) == []
    [other] = await queued(database, "four")
    assert await leased(LEASE_SECONDS) == [other]
    await asyncio.sleep(0.5)
    alone = [await leased(LEASE_SECONDS) for _ in range(3)]
    assert sorted(alone) == sorted([trace_id] for trace_id in ids)
    await administer(database_url, DUE_NOW)
    await administer(
        database_url,
        f"UPDATE encoding_jobs SET attempts = {MOST_ATTEMPTS} WHERE trace_id = '{other}'",  # noqa: S608 - ours
    )
    result = await drain_queue(database, embedder, lease_seconds=LEASE_SECONDS)
    assert (result.encoded, result.given_up) == (3, 1)
    [job] = await query(database_url, JOBS)
    assert (job.trace_id, "ended before they were done" in job.last_error) == (other, True)


async def test_a_worker_that_is_stopped_gives_back_what_it_had(
    database: Database, database_url: str, told: ToldEmbedder
) -> None:
    await queued(database, "one", "two")
    async with under_way(database, told) as result:
        result.cancel()
        with pytest.raises(asyncio.CancelledError):
            await result
    rows = await query(database_url, JOBS)
    assert {(row.attempts, row.due_in <= 0) for row in rows} == {(0, True)}


async def test_an_embedder_that_never_answers_is_given_up_with_the_lease(
    database: Database, database_url: str, told: ToldEmbedder
) -> None:
    await queued(database, "one")
    told.gate.clear()
    asyncio.get_running_loop().call_later(0.5, told.gate.set)
    result = await encode_batch(database, told, lease_seconds=0.2)
    assert (result.outcome, result.why) == (BatchOutcome.PROCESSED, "the embedder did not answer in time")
    [job] = await query(database_url, JOBS)
    assert job.attempts == 1


async def test_vectors_of_a_replaced_model_are_not_stored(
    database: Database, database_url: str, told: ToldEmbedder
) -> None:
    [trace_id] = await queued(database, "one")
    async with under_way(database, told) as result:
        await administer(database_url, "UPDATE embedding_models SET version = 'another'")
    for replaced in (result, encode_batch(database, told), keep_encoding_to_its_end(database, told)):
        with pytest.raises(ModelReplaced, match="by now"):
            await replaced
    assert await vector_of(database, trace_id) is None
    [job] = await query(database_url, JOBS)
    assert (job.attempts, job.due_in <= 0) == (0, True)


async def keep_encoding_to_its_end(database: Database, embedder: Any) -> None:
    await run_encoding(database, lambda: embedder, lease_seconds=LEASE_SECONDS, raises_when_replaced=True)


async def test_everything_without_a_vector_of_the_model_can_be_queued_again(
    database: Database, database_url: str, told: ToldEmbedder, embedder: Embedder
) -> None:
    model = {"embedding_model_id": embedder.model_id, "embedding_model_version": embedder.model_version}
    [encoded] = await embedder.encode(["text"])
    well = await stored(database, **model)
    async with database.unit_of_work() as work:
        tokens = [TokensOfRevision(well, 1, encoded.token_signs)]
        await work.trace_tokens.save(tokens, model_version=embedder.model_version)
    lost, foreign = await stored(database, **UNENCODED), await stored(database)
    old = await stored(database, **model | {"embedding_model_version": "0"})
    [given_up] = await queued(database, "given up")
    await administer(database_url, "UPDATE encoding_jobs SET given_up_at = now(), attempts = 20")
    await queued(database, "waits")
    assert await requeue(database) == 4
    assert await requeue(database) == 0
    assert {row.trace_id for row in await query(database_url, JOBS)} >= {lost, foreign, old, given_up}
    async with database.unit_of_work() as work:
        await work.encoding_jobs.enqueue(well)
    result = await drain_queue(database, told, lease_seconds=LEASE_SECONDS)
    assert result.encoded == 5
    # What has its vector is not encoded again.
    assert sum(map(len, told.asked)) == 5
    assert await query(database_url, JOBS) == []
    wrong = f"embedding_model_id <> '{embedder.model_id}' OR embedding_model_version <> '{embedder.model_version}'"
    assert await query(database_url, f"SELECT id FROM traces WHERE {wrong}") == []  # noqa: S608 - ours


async def test_an_idle_worker_is_woken_by_what_this_process_queues(database: Database, told: ToldEmbedder) -> None:
    working = asyncio.create_task(run_encoding(database, lambda: told, lease_seconds=LEASE_SECONDS))
    for number in range(3):
        [trace_id] = await queued(database, f"title {number}")
        async with asyncio.timeout(20):
            while await vector_of(database, trace_id) is None:  # noqa: ASYNC110 - the database is asked
                await asyncio.sleep(0.01)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
