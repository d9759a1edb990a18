import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from asyncpg import IntegrityConstraintViolationError
from sqlalchemy import Connection

from commontrace.domain.errors import DatabaseUnavailable
from commontrace.domain.traces.content_hash import content_hash
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import engines, migrations
from commontrace.storage.models import Base
from commontrace.storage.namespaces import enabling
from tests.conftest import administer, query, url_of
from tests.support.locks import end_waiting_migration, held, until_waiting
from tests.support.repository import REPOSITORY

GOLDEN = Path(__file__).parent / "golden" / "schema.txt"
MODEL = LexicalEmbedder(384)
EMBEDDING_MODELS = "0002_create_embedding_models"
BEFORE_MODERATION = "0014_create_api_keys"

# Everything that `alembic check` does not see is here too: CHECKs, operator classes, index and storage options.
# Postgres 18 lists NOT NULL among the constraints, 16 does not: they stand with the columns.
SCHEMA = {
    "columns": """
        SELECT format('%s.%s %s%s%s', relname, attname, format_type(atttypid, atttypmod),
            CASE WHEN attnotnull THEN ' NOT NULL' END, ' DEFAULT ' || pg_get_expr(adbin, adrelid))
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
        ORDER BY relname COLLATE "C", attnum""",
    "constraints": """
        SELECT format('%s.%s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
        ORDER BY conrelid::regclass::text COLLATE "C", conname COLLATE "C" """,
    "indexes": """
        SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname COLLATE "C" """,
    "triggers": """
        SELECT format('%s.%s %s', tgrelid::regclass, tgname, pg_get_triggerdef(oid))
        FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text COLLATE "C", tgname COLLATE "C" """,
    "functions": """
        SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prolang
            IN (SELECT oid FROM pg_language WHERE lanname IN ('plpgsql', 'sql')) ORDER BY proname COLLATE "C" """,
    "storage options": """
        SELECT format('%s (%s)', relname, array_to_string(reloptions, ', '))
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND reloptions IS NOT NULL
        ORDER BY relname COLLATE "C" """,
}
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"

USER = "INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'ada@example.org')"
TRACE = """
    INSERT INTO traces (id, title, context_text, solution_text, contributor_id, embedding, embedding_model_id,
        embedding_model_version, status, confirmation_count, down_count, revision, metadata_json)
    SELECT gen_random_uuid(), 'title', {context}, 'solution', id, {embedding}, {model}, {version},
        {status}, {confirmation_count}, {down_count}, {revision}, '{{"key": ["value", 1.5]}}' FROM users"""
VOTE = """
    INSERT INTO votes (id, trace_id, voter_id, vote_type, revision)
    SELECT gen_random_uuid(), traces.id, users.id, {vote_type}, {revision} FROM traces, users"""
TAG = "INSERT INTO tags (id, name) VALUES (gen_random_uuid(), 'python')"
TRACE_TAG = "INSERT INTO trace_tags SELECT traces.id, tags.id FROM traces, tags"


def a_trace(**values: str) -> str:
    texts = {"context": "'context'", "status": "'pending'", "model": "'model'", "version": "'1'"}
    numbers = {"confirmation_count": "0", "down_count": "0", "revision": "1"}
    return TRACE.format(**({"embedding": unit_vector(384)} | texts | numbers | values))


def a_vote(vote_type: str = "'up'", revision: str = "1") -> str:
    return VOTE.format(vote_type=vote_type, revision=revision)


def unit_vector(dimensions: int, scale: float = 1.0) -> str:
    return f"array_fill({scale / dimensions**0.5}::real, ARRAY[{dimensions}])::vector"


async def schema(url: str) -> str:
    parts = []
    for title, sql in SCHEMA.items():
        lines = [line for (line,) in await query(url, sql)]
        parts.append("\n".join([f"-- {title}", *lines, ""]))
    return "\n".join(parts)


LATER_COLUMNS = (
    "{reason,comment,content_hash,edit_number,supersedes_id,superseded_by_id,hidden_at,hide_reason,description"
    ",namespace_id,promoted_from_id,prior_contributor_ids}"
)


async def checksums(url: str) -> dict[str, str]:
    """Of what the first schema holds."""
    row = f"(to_jsonb(row) - '{LATER_COLUMNS}'::text[])::text"
    sums = {}
    for table in ("users", "traces", "votes", "tags", "trace_tags"):
        sum_of_rows = f"SELECT md5(string_agg({row}, ',' ORDER BY {row})) FROM {table} AS row"  # noqa: S608 - our own names
        [[sums[table]]] = await query(url, sum_of_rows)
    return sums


async def fill(url: str) -> None:
    for statement in (USER, a_trace(), a_trace(embedding="NULL", model="NULL", version="NULL"), a_vote(), TAG):
        await administer(url, statement)
    await administer(url, TRACE_TAG)


async def test_the_schema_is_the_golden_one(empty_database_url: str) -> None:
    assert await migrations.current_revision(empty_database_url) is None
    assert await migrations.upgrade(empty_database_url, MODEL)
    assert await migrations.current_revision(empty_database_url) == migrations.newest_revision()
    assert not await migrations.upgrade(empty_database_url, MODEL)

    found = await schema(empty_database_url)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.write_text(found, encoding="utf-8")
    assert found == GOLDEN.read_text(encoding="utf-8")


async def test_down_to_nothing_and_up_again_with_rows(database_url: str) -> None:
    await fill(database_url)
    assert await migrations.downgrade(database_url, "base", MODEL)
    assert await query(database_url, TABLES) == [("alembic_version",)]
    assert await migrations.current_revision(database_url) is None

    assert await migrations.upgrade(database_url, MODEL)
    assert await schema(database_url) == GOLDEN.read_text(encoding="utf-8")
    assert await query(database_url, "SELECT * FROM traces") == []
    await fill(database_url)


async def test_one_step_down_and_up_keeps_every_row(database_url: str) -> None:
    await fill(database_url)
    before = await checksums(database_url)
    assert None not in before.values()

    assert await migrations.downgrade(database_url, "0001_initial_schema", MODEL)
    assert await query(database_url, "SELECT to_regclass('embedding_models')") == [(None,)]
    assert await checksums(database_url) == before

    assert await migrations.upgrade(database_url, MODEL)
    assert await checksums(database_url) == before
    assert await schema(database_url) == GOLDEN.read_text(encoding="utf-8")


async def test_traces_from_before_get_their_history_and_their_hash(database_url: str) -> None:
    await fill(database_url)
    await administer(database_url, "UPDATE traces SET revision = 3, created_at = '2026-01-01' WHERE embedding IS NULL")
    await administer(database_url, a_trace(context="E'e\\u0301\\r\\n '"))
    await migrations.downgrade(database_url, "0002_create_embedding_models", MODEL)
    await migrations.upgrade(database_url, MODEL)

    history = (
        "SELECT kept.revision, changed_fields, editor_id = contributor_id FROM trace_revisions AS kept"
        " JOIN traces ON traces.id = trace_id AND traces.revision = kept.revision ORDER BY 1"
    )
    written = ["title", "context", "solution"]
    assert await query(database_url, history) == [(1, written, True), (1, written, True), (3, written, True)]
    # The older of two that are alike is the one that others are duplicates of.
    hashes = "SELECT revision, content_hash FROM traces WHERE content_hash IS NOT NULL ORDER BY revision"
    assert await query(database_url, hashes) == [
        (1, content_hash("title", "\u00e9", "solution")),
        (3, content_hash("title", "context", "solution")),
    ]


async def test_the_models_describe_the_migrated_database(database_url: str) -> None:
    def differences(connection: Connection) -> Any:
        options = {"compare_type": True, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)

    # They name the columns as they are from then on (ADR 0061).
    await enabling.enable(database_url)
    engine = engines.unpooled(database_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


@pytest.mark.parametrize("dimensions", [1, 7, 2000])
async def test_the_dimension_follows_the_model(empty_database_url: str, dimensions: int) -> None:
    await migrations.upgrade(empty_database_url, LexicalEmbedder(dimensions))

    golden = GOLDEN.read_text(encoding="utf-8")
    assert await schema(empty_database_url) == re.sub(r"(vector|halfvec)\(384\)", rf"\1({dimensions})", golden)
    recorded = "SELECT id, version, dimensions, is_lexical, is_current FROM embedding_models"
    assert await query(empty_database_url, recorded) == [("lexical-hash", "1", dimensions, True, True)]
    await administer(empty_database_url, USER)
    await administer(empty_database_url, a_trace(embedding=unit_vector(dimensions)))


async def test_a_model_of_another_dimension_cannot_be_recorded(database_url: str) -> None:
    await migrations.downgrade(database_url, "0001_initial_schema", MODEL)
    with pytest.raises(RuntimeError, match=r"traces\.embedding has 384 dimensions; lexical-hash makes 7"):
        await migrations.upgrade(database_url, LexicalEmbedder(7))
    assert await migrations.current_revision(database_url) == "0001_initial_schema"
    assert await migrations.upgrade(database_url, MODEL)


async def test_the_alembic_command_migrates(empty_database_url: str) -> None:
    alembic = await asyncio.to_thread(
        subprocess.run,
        [str(Path(sys.executable).with_name("alembic")), "upgrade", "head"],
        cwd=REPOSITORY,
        env=os.environ | {"DATABASE_URL": empty_database_url, "EMBEDDER": "lexical", "EMBEDDING_DIMENSIONS": "384"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert alembic.returncode == 0, alembic.stderr
    assert await schema(empty_database_url) == GOLDEN.read_text(encoding="utf-8")
    assert not await migrations.upgrade(empty_database_url, MODEL)


async def test_a_migration_that_waits_for_a_table_keeps_nobody_else_waiting(database_url: str) -> None:
    await migrations.downgrade(database_url, BEFORE_MODERATION, MODEL)
    async with held(database_url, "LOCK TABLE traces IN ACCESS SHARE MODE"):
        upgrading = asyncio.create_task(migrations.upgrade(database_url, MODEL))
        for _ in range(2):
            await until_waiting(database_url)
            # Behind the migration; a server's statements wait for 2 s at most.
            async with asyncio.timeout(2):
                await query(database_url, "SELECT count(*) FROM traces")
        assert not upgrading.done()
    assert await upgrading
    assert await migrations.current_revision(database_url) == migrations.newest_revision()


async def test_a_migration_gives_up_on_a_table_that_is_always_in_use(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_LOCK_SECONDS", 0.5)
    await migrations.downgrade(database_url, BEFORE_MODERATION, MODEL)
    async with held(database_url, "LOCK TABLE traces IN ACCESS SHARE MODE"):
        with pytest.raises(migrations.MigrationLocked, match="pg_dump"):
            await migrations.upgrade(database_url, MODEL)
    assert await migrations.current_revision(database_url) == BEFORE_MODERATION


async def test_a_connection_that_is_cut_in_the_middle_changes_nothing(database_url: str) -> None:
    await migrations.downgrade(database_url, BEFORE_MODERATION, MODEL)
    async with held(database_url, "LOCK TABLE traces IN ACCESS SHARE MODE"):
        upgrading = asyncio.create_task(migrations.upgrade(database_url, MODEL))
        await until_waiting(database_url)
        await end_waiting_migration(database_url)
        with pytest.raises(DatabaseUnavailable, match="went away"):
            await upgrading
    assert await migrations.current_revision(database_url) == BEFORE_MODERATION
    assert await migrations.upgrade(database_url, MODEL)


async def test_an_index_that_somebody_has_dropped_is_not_missed(database_url: str) -> None:
    await migrations.downgrade(database_url, "0019_remember_purged_traces", MODEL)
    await administer(database_url, "DROP INDEX ix_traces_status")
    assert await migrations.upgrade(database_url, MODEL)


async def test_of_five_at_once_one_migrates(empty_database_url: str) -> None:
    changed = await asyncio.gather(*(migrations.upgrade(empty_database_url, MODEL) for _ in range(5)))
    assert sorted(changed) == [False, False, False, False, True]
    assert await schema(empty_database_url) == GOLDEN.read_text(encoding="utf-8")
    # The lock is free again.
    assert not await asyncio.wait_for(migrations.upgrade(empty_database_url, MODEL), 1)


# Incompressible; and nothing, which leaves the vector in the page.
@pytest.mark.parametrize("context", ["(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 64) AS n)", "''"])
async def test_votes_are_hot_updates(database_url: str, context: str) -> None:
    vote_on_each = """
        DO $$ DECLARE voted uuid; BEGIN
            PERFORM set_config('synchronous_commit', 'off', false);
            FOR voted IN SELECT id FROM traces ORDER BY random() LOOP
                UPDATE traces SET confirmation_count = confirmation_count + 1, trust_score = trust_score + 0.5,
                    updated_at = now() WHERE id = voted;
                COMMIT;
            END LOOP;
            PERFORM pg_stat_force_next_flush();
        END $$"""
    await administer(database_url, USER)
    await administer(database_url, a_trace(context=context) + ", generate_series(1, 200)")
    for _ in range(3):
        await administer(database_url, vote_on_each)

    statistics = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'traces'"
    assert await query(database_url, statistics) == [(600, 600)]


@pytest.fixture(scope="module")
def filled_database_url(postgres_url: str, template: str) -> Iterator[str]:
    """One for all refusals: they leave nothing behind."""
    name = f"filled_{uuid4().hex}"
    asyncio.run(administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    asyncio.run(fill(url_of(postgres_url, name)))
    yield url_of(postgres_url, name)
    asyncio.run(administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (a_trace(status="'rejected'"), "ck_traces_status"),
        (a_trace(status="'Pending'"), "ck_traces_status"),
        (a_trace(confirmation_count="-1"), "ck_traces_counts"),
        (a_trace(down_count="-1"), "ck_traces_counts"),
        (a_trace(revision="0"), "ck_traces_revision"),
        (a_trace(embedding=unit_vector(384, scale=0.0)), "ck_traces_embedding_norm"),
        (a_trace(embedding=unit_vector(384, scale=0.99)), "ck_traces_embedding_norm"),
        (a_trace(embedding=unit_vector(384, scale=3e38)), "ck_traces_embedding_norm"),
        (a_trace(model="NULL"), "ck_traces_embedding_model"),
        (a_trace(version="NULL"), "ck_traces_embedding_model"),
        (a_trace(embedding="NULL"), "ck_traces_embedding_model"),
        (a_vote("'sideways'"), "ck_votes_vote_type"),
        (a_vote("'down'"), "ck_votes_reason"),
        ("UPDATE votes SET reason = 'spam'", "ck_votes_reason"),
        ("UPDATE votes SET vote_type = 'down', reason = 'because'", "ck_votes_reason"),
        (a_vote(revision="0"), "ck_votes_revision"),
        (a_vote(), "uq_votes_trace_id_voter_id"),
        (USER, "uq_users_email"),
        (TAG, "ix_tags_name"),
        (TRACE_TAG, "pk_trace_tags"),
        ("UPDATE embedding_models SET dimensions = 2001", "ck_embedding_models_dimensions"),
        (
            "INSERT INTO embedding_models (id, version, dimensions, is_lexical, is_current)"
            " VALUES ('second', '1', 384, false, true)",
            "ix_embedding_models_current",
        ),
        ("UPDATE traces SET content_hash = 'same'", "ix_traces_content_hash"),
        ("UPDATE traces SET supersedes_id = (SELECT id FROM traces LIMIT 1)", "ix_traces_supersedes_id"),
        ("UPDATE traces SET namespace_id = gen_random_uuid()", "fk_traces_namespace_id_namespaces"),
        ("UPDATE traces SET promoted_from_id = gen_random_uuid()", "fk_traces_promoted_from_id_traces"),
        ("DELETE FROM namespaces", "fk_traces_namespace_id_namespaces"),
        ("UPDATE namespaces SET visibility = 'public'", "ck_namespaces_visibility"),
        (
            "INSERT INTO namespaces (id, name, visibility) VALUES (gen_random_uuid(), 'commons', 'open')",
            "uq_namespaces_name",
        ),
        (
            "INSERT INTO namespace_members SELECT namespaces.id, users.id, 'admin' FROM namespaces, users",
            "ck_namespace_members_role",
        ),
        (
            "INSERT INTO namespace_members SELECT id, gen_random_uuid(), 'reader' FROM namespaces",
            "fk_namespace_members_user_id_users",
        ),
        (
            "INSERT INTO namespace_members SELECT gen_random_uuid(), id, 'reader' FROM users",
            "fk_namespace_members_namespace_id_namespaces",
        ),
        ("DELETE FROM users", "fk_traces_contributor_id_users"),
        ("DELETE FROM traces", "fk_votes_trace_id_traces"),
    ],
)
async def test_postgres_itself_refuses(filled_database_url: str, statement: str, constraint: str) -> None:
    with pytest.raises(IntegrityConstraintViolationError) as refusal:
        await administer(filled_database_url, statement)
    assert refusal.value.constraint_name == constraint
