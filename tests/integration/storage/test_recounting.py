"""`commontrace recount`: everything that is stored of votes beside them can be computed from them."""

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from commontrace.core.votes import recount as vote_recount
from commontrace.core.votes.recount import Recounted, recount
from commontrace.domain.votes.ballot import DOWN, UP
from commontrace.storage.database import Database
from tests.conftest import administer, query
from tests.faults.server_process import run_command
from tests.integration.storage.storing import stored
from tests.integration.storage.test_vote_storage import cast

STANDINGS = """
    SELECT id, status, confirmation_count, down_count, trust_score, updated_at FROM traces ORDER BY id"""
SPOILT = "UPDATE traces SET confirmation_count = 7, down_count = 1, trust_score = 0.25"


async def voted_on(database: Database, up: int, down: int, *, threshold: int = 2, is_seed: bool = False) -> UUID:
    """A trace with so many votes."""
    trace_id = await stored(database, id=uuid4(), is_seed=is_seed, status="validated" if is_seed else "pending")
    for voter in range(up + down):
        await cast(database, trace_id, voter, UP if voter < up else DOWN, threshold=threshold)
    return trace_id


async def test_nothing_is_to_be_corrected_after_votes(database: Database, database_url: str) -> None:
    for up, down in [(0, 0), (1, 0), (2, 0), (2, 2), (3, 2), (0, 1)]:
        await voted_on(database, up, down)
    before = await query(database_url, STANDINGS)
    assert await recount(database, validation_threshold=2) == Recounted(traces=6)
    assert await query(database_url, STANDINGS) == before


async def test_progress_is_told_batch_by_batch(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vote_recount, "_BATCH", 2)
    for _ in range(5):
        await voted_on(database, 1, 0)
    told: list[tuple[int, int]] = []
    await recount(database, validation_threshold=2, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 5), (4, 5), (5, 5)]


async def test_whatever_was_stored_is_corrected(database: Database, database_url: str) -> None:
    deleted_id = await voted_on(database, 3, 0)
    for up, down in [(0, 0), (1, 0), (2, 0), (0, 3)]:
        await voted_on(database, up, down)
    await voted_on(database, 0, 1, is_seed=True)
    await administer(database_url, f"UPDATE traces SET deleted_at = now() WHERE id = '{deleted_id}'")  # noqa: S608
    before = await query(database_url, STANDINGS)
    await administer(database_url, SPOILT)
    assert await recount(database, validation_threshold=2) == Recounted(traces=6, corrected=6)
    assert await query(database_url, STANDINGS) == before
    flipped = "UPDATE traces SET status = CASE status WHEN 'pending' THEN 'validated' ELSE 'pending' END"
    await administer(database_url, flipped)
    # Three to be validated (a deleted one and a seed among them), three to be pending.
    assert await recount(database, validation_threshold=2) == Recounted(traces=6, promoted=3, demoted=3)
    assert [row[:5] for row in await query(database_url, STANDINGS)] == [row[:5] for row in before]


async def test_votes_on_earlier_revisions_do_not_count(database: Database, database_url: str) -> None:
    trace_id = await voted_on(database, 2, 0)
    await administer(database_url, "UPDATE traces SET revision = 2")
    await cast(database, trace_id, 3)
    await administer(database_url, SPOILT)
    assert await recount(database, validation_threshold=1) == Recounted(traces=1, corrected=1, promoted=1)
    [row] = await query(database_url, STANDINGS)
    assert row[1:4] == ("validated", 1, 0)


async def test_a_changed_threshold_is_applied(database: Database, database_url: str) -> None:
    by_votes = {up: await voted_on(database, up, 0) for up in range(1, 5)}
    await voted_on(database, 0, 1, is_seed=True)
    assert await recount(database, validation_threshold=4) == Recounted(traces=5, demoted=2)
    assert await recount(database, validation_threshold=4) == Recounted(traces=5)
    assert await recount(database, validation_threshold=1) == Recounted(traces=5, promoted=3)
    statuses = {row[0]: row[1] for row in await query(database_url, STANDINGS)}
    assert {statuses[trace_id] for trace_id in by_votes.values()} == {"validated"}


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
async def test_every_trace_is_recounted_once(database: Database, database_url: str, count: int) -> None:
    for _ in range(min(count, 1)):
        await stored(database)
    copies = f"""
        INSERT INTO traces (id, title, context_text, solution_text, contributor_id)
        SELECT gen_random_uuid(), 'a', 'b', 'c', contributor_id FROM traces, generate_series(2, {count})"""  # noqa: S608
    await administer(database_url, copies)
    await administer(database_url, SPOILT)
    expected = Recounted(traces=count, corrected=count)
    assert await recount(database, validation_threshold=2) == expected
    assert await recount(database, validation_threshold=2) == Recounted(traces=count)


async def test_votes_may_be_cast_meanwhile(database: Database) -> None:
    trace_ids = [await stored(database, id=uuid4()) for _ in range(4)]

    async def vote(voter: int) -> None:
        for round_ in range(10):
            await cast(database, trace_ids[round_ % 4], voter, UP if (voter + round_) % 3 else DOWN, threshold=2)

    voters = [asyncio.create_task(vote(voter)) for voter in range(5)]
    recounts = [await recount(database, validation_threshold=2)]
    while not all(voter.done() for voter in voters):
        recounts.append(await recount(database, validation_threshold=2))
    await asyncio.gather(*voters)
    assert set(recounts) == {Recounted(traces=4)}


async def test_the_command_says_what_it_did(database: Database, database_url: str, tmp_path: Path) -> None:
    for up, down in [(1, 0), (2, 0), (3, 1), (1, 1)]:
        await voted_on(database, up, down)
    await administer(database_url, SPOILT)
    arguments = {"DATABASE_URL": database_url, "VALIDATION_THRESHOLD": "3"}
    said = await asyncio.to_thread(run_command, tmp_path, "recount", **arguments)
    assert (said.stdout, said.stderr) == ("recounted 4 traces: 4 corrected, 0 promoted, 1 demoted\n", "")
    arguments["VALIDATION_THRESHOLD"] = "1"
    said = await asyncio.to_thread(run_command, tmp_path, "recount", **arguments)
    assert (said.stdout, said.stderr) == ("recounted 4 traces: 0 corrected, 2 promoted, 0 demoted\n", "")


async def test_the_command_needs_a_migrated_database(empty_database_url: str, tmp_path: Path) -> None:
    said = await asyncio.to_thread(run_command, tmp_path, "recount", DATABASE_URL=empty_database_url)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith("commontrace: the database was never migrated")
    assert "run `commontrace migrate`" in said.stderr
