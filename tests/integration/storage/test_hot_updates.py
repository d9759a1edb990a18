"""Updates that leave every index alone, the vectors' above all, and those that cannot (HOT updates, ADR 0048)."""

import asyncio

import pytest

from commontrace.storage.database import Database
from tests.conftest import administer, query
from tests.integration.storage import hot_changes
from tests.integration.storage.hot_changes import Change, each, store

COUNT = 40
UPDATES = "SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE n_tup_upd > 0"
ALONE = """
    SELECT true WHERE NOT EXISTS (
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())"""
MENTIONED = """
    SELECT DISTINCT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid
    WHERE indrelid = '{table}'::regclass AND (attnum = ANY (indkey) OR EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = indexrelid
            AND refclassid = 'pg_class'::regclass AND refobjid = indrelid AND refobjsubid = attnum))
    ORDER BY attname"""

INDEXED = {
    "traces": {
        *("content_hash", "contributor_id", "created_at", "deleted_at", "embedding", "id"),
        *("promoted_from_id", "supersedes_id"),
    },
    "votes": {"id", "trace_id", "voter_id"},
    "idempotent_requests": {"caller_id", "method", "request_id", "created_at"},
    "quota_windows": {"email", "kind"},
    "api_keys": {"id", "user_id"},
    "trace_tokens": {"trace_id", "model_version"},
    # A lease moves the time by which the queue is ordered.
    "encoding_jobs": {"trace_id", "has_vector", "due_at", "given_up_at"},
}
"""The columns that indexes mention. No other column costs an index anything."""


async def until(url: str, condition: str) -> None:
    for _ in range(500):
        if await query(url, condition):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing happened for 5 seconds")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(hot_changes.vote_often, {"traces": (15, 15)}, id="votes"),
        pytest.param(hot_changes.vote_again, {"traces": (3, 3), "votes": (2, 2)}, id="changes of votes"),
        # The narrow table has an index by status.
        pytest.param(each(hot_changes.validate), {"traces": (2, 2), "trace_signs": (1, 0)}, id="validation"),
        pytest.param(each(hot_changes.validate_and_retract), {"traces": (3, 3), "trace_signs": (2, 0)}, id="demotion"),
        pytest.param(each(hot_changes.supersede), {"traces": (1, 1), "trace_signs": (1, 1)}, id="succession"),
        pytest.param(each(hot_changes.touch), {"traces": (1, 1)}, id="touch"),
        # What says that and why it is hidden is. Deletion is not: content and succession are unique among live traces.
        pytest.param(each(hot_changes.hide), {"traces": (2, 1), "trace_signs": (1, 1)}, id="moderation"),
        pytest.param(each(hot_changes.delete), {"traces": (1, 0), "trace_signs": (1, 1)}, id="deletion"),
        # Of the column that the vector index holds.
        pytest.param(each(hot_changes.encode), {"traces": (1, 0), "trace_signs": (1, 1)}, id="encoding"),
        # Of the time by which the queue is ordered, and of the mark that takes a job out of the order.
        pytest.param(hot_changes.fail_to_encode, {"encoding_jobs": (6, 0)}, id="encoding queue"),
        pytest.param(each(hot_changes.answer), {"idempotent_requests": (1, 1)}, id="answers"),
    ],
)
async def test_updates_leave_every_index_alone(
    database_url: str, change: Change, expected: dict[str, tuple[int, int]]
) -> None:
    database = Database(database_url)
    await change(database, await store(database, COUNT))
    await database.close()
    # What a backend counted is there to read once it has ended.
    await until(database_url, ALONE)
    counts = {table: (updates, hot) for table, updates, hot in await query(database_url, UPDATES)}
    assert counts == {table: (COUNT * updates, COUNT * hot) for table, (updates, hot) in expected.items()}


@pytest.mark.parametrize(
    ("change", "table"),
    [
        pytest.param(each(hot_changes.use_quota), "quota_windows", id="quotas"),
        pytest.param(hot_changes.use_key, "api_keys", id="keys"),
    ],
)
async def test_one_row_that_is_updated_all_the_time_stays_in_its_page(
    database_url: str, change: Change, table: str
) -> None:
    """Beyond what a page holds: the dead versions make room by themselves."""
    database = Database(database_url)
    trace_ids = await store(database, 1)
    await change(database, trace_ids * 300)
    await database.close()
    await until(database_url, ALONE)
    [(updates, hot)] = [(updates, hot) for name, updates, hot in await query(database_url, UPDATES) if name == table]
    assert updates >= 299
    assert hot == updates
    size = f"SELECT pg_relation_size('{table}')"
    assert await query(database_url, size) == [(8192,)]


async def test_indexes_mention_only_what_votes_and_validations_leave_alone(database_url: str) -> None:
    """As a column, in an expression or in a predicate."""

    async def mentioned(table: str) -> set[str]:
        return {name for (name,) in await query(database_url, MENTIONED.format(table=table))}

    assert {table: await mentioned(table) for table in INDEXED} == INDEXED
    await administer(database_url, "CREATE INDEX by_predicate ON traces (id) WHERE status = 'pending'")
    await administer(database_url, "CREATE INDEX by_expression ON traces (lower(hide_reason))")
    assert {"status", "hide_reason"} <= await mentioned("traces")
