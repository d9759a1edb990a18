"""The migration to namespaces, up and down with rows present, and the renaming that enables them (ADR 0061)."""

import asyncio

import pytest

from commontrace.cli.runtime.environment import message_with_cause
from commontrace.domain.namespaces.namespace import COMMONS_ID
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.database import Database
from commontrace.storage.migrations import MigrationLocked, MigrationRefused
from commontrace.storage.namespaces import enabling
from tests.conftest import administer, query
from tests.integration.storage.test_migrations import GOLDEN, fill, schema
from tests.support.locks import held

MODEL = LexicalEmbedder(384)
BEFORE, WITH = "0021_create_trace_tokens", "0022_create_namespaces"
TABLES = ("traces", "trace_signs", "trace_events", "import_items")
EVENT = "INSERT INTO trace_events (trace_id, event_type, revision) SELECT id, 'created', 1 FROM traces"
ITEM = """
    INSERT INTO import_items (import_id, caller_id, sequence, trace_id, is_new)
    SELECT gen_random_uuid(), contributor_id, 1, id, true FROM traces"""
TEAM = "INSERT INTO namespaces (id, name, visibility) VALUES (gen_random_uuid(), 'team', 'private')"
INTO_TEAM = "UPDATE traces SET namespace_id = (SELECT id FROM namespaces WHERE name = 'team') WHERE embedding IS NULL"
ACCESSORS = """
    SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        AND proname IN ('hiding_time', 'hiding_reason', 'current_since', 'first_cast_at', 'occurred_at', 'alias')"""


async def filled_before(url: str) -> None:
    """A database of the version before, with rows in every table that gets a namespace."""
    assert await migrations.downgrade(url, BEFORE, MODEL)
    await fill(url)
    await administer(url, f"{EVENT}; {ITEM}")


async def places(url: str) -> dict[str, list[object]]:
    """Where each row lies, and who wrote it there: a row that is rewritten lies elsewhere."""
    where = "SELECT pg_relation_filenode('{table}'), ctid::text, xmin::text FROM {table} ORDER BY 2"
    return {table: await query(url, where.format(table=table)) for table in TABLES}


async def is_enabled(url: str) -> bool:
    database = Database(url)
    try:
        return await database.read(lambda reading: reading.namespaces.is_enabled())
    finally:
        await database.close()


async def test_rows_that_exist_are_in_commons_and_are_not_rewritten(database_url: str) -> None:
    await filled_before(database_url)
    before = await places(database_url)
    assert all(before.values())

    assert await migrations.upgrade(database_url, MODEL)
    assert await places(database_url) == before
    for table in TABLES:
        of_all = f"SELECT DISTINCT namespace_id FROM {table}"  # noqa: S608 - our own names
        assert await query(database_url, of_all) == [(COMMONS_ID,)], table
    assert await query(database_url, "SELECT id, name, visibility FROM namespaces") == [(COMMONS_ID, "commons", "open")]
    assert await schema(database_url) == GOLDEN.read_text(encoding="utf-8")
    assert not await is_enabled(database_url)


async def test_a_row_of_a_server_that_knows_no_namespaces_is_in_commons(database_url: str) -> None:
    await fill(database_url)
    await administer(database_url, f"{EVENT}; {ITEM}")
    for table in TABLES:
        of_all = f"SELECT DISTINCT namespace_id FROM {table}"  # noqa: S608 - our own names
        assert await query(database_url, of_all) == [(COMMONS_ID,)], table


@pytest.mark.parametrize("enabled", [False, True], ids=["disabled", "enabled"])
async def test_down_and_up_again_with_rows(database_url: str, *, enabled: bool) -> None:
    await migrations.downgrade(database_url, BEFORE, MODEL)
    original = await schema(database_url)
    await migrations.upgrade(database_url, MODEL)
    await fill(database_url)
    # An empty namespace keeps nobody's secrets.
    await administer(database_url, TEAM)
    if enabled:
        assert await enabling.enable(database_url)

    assert await migrations.downgrade(database_url, BEFORE, MODEL)
    assert await schema(database_url) == original
    assert await query(database_url, ACCESSORS) == [(0,)]
    assert await query(database_url, "SELECT count(*) FROM traces") == [(2,)]

    assert await migrations.upgrade(database_url, MODEL)
    assert await schema(database_url) == GOLDEN.read_text(encoding="utf-8")
    assert not await is_enabled(database_url)
    assert await enabling.enable(database_url)


@pytest.mark.parametrize("enabled", [False, True], ids=["disabled", "enabled"])
async def test_down_is_refused_while_a_trace_is_in_another_namespace(database_url: str, *, enabled: bool) -> None:
    await fill(database_url)
    if enabled:
        assert await enabling.enable(database_url)
    await administer(database_url, f"{TEAM}; {INTO_TEAM}")
    with pytest.raises(MigrationRefused) as refusal:
        await migrations.downgrade(database_url, BEFORE, MODEL)
    # As the command says it.
    assert "traces are in other namespaces than commons" in message_with_cause(refusal.value)
    assert await migrations.current_revision(database_url) == WITH
    assert await is_enabled(database_url) is enabled
    assert await query(database_url, "SELECT count(DISTINCT namespace_id) FROM traces") == [(2,)]
    # What keeps it is gone.
    await administer(database_url, f"UPDATE traces SET namespace_id = '{COMMONS_ID}'")  # noqa: S608 - our own id
    assert await migrations.downgrade(database_url, BEFORE, MODEL)


async def test_enabling_again_changes_nothing(database_url: str) -> None:
    await fill(database_url)
    before = await places(database_url)
    assert not await is_enabled(database_url)
    assert await enabling.enable(database_url) is True
    enabled = await schema(database_url)
    assert await is_enabled(database_url)
    assert await enabling.enable(database_url) is False
    assert await schema(database_url) == enabled
    # A change of the catalogue, not of any row.
    assert await places(database_url) == before
    assert await query(database_url, ACCESSORS) == [(0,)]


async def test_of_five_at_once_one_enables(database_url: str) -> None:
    enabled = await asyncio.gather(*(enabling.enable(database_url) for _ in range(5)))
    assert sorted(enabled) == [False, False, False, False, True]


async def test_statements_of_older_servers_fail_once_it_is_enabled(database_url: str) -> None:
    await fill(database_url)
    statements = {f"SELECT {accessor.old} FROM {accessor.table}": accessor for accessor in enabling.ACCESSORS}  # noqa: S608 - ours
    for statement in statements:
        await administer(database_url, statement)
    await enabling.enable(database_url)
    for statement, accessor in statements.items():
        with pytest.raises(Exception, match=f'column "{accessor.old}" does not exist'):
            await administer(database_url, statement)
        await administer(database_url, f"SELECT {accessor.table}.{accessor.new} FROM {accessor.table}")  # noqa: S608 - ours


async def test_enabling_gives_up_on_a_table_that_is_always_in_use(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enabling, "_LOCK_SECONDS", 0.5)
    async with held(database_url, "LOCK TABLE votes IN ACCESS SHARE MODE"):
        with pytest.raises(MigrationLocked, match="pg_dump"):
            await enabling.enable(database_url)
    assert not await is_enabled(database_url)
    assert await enabling.enable(database_url)
