"""The migration of the vector index to halves, with rows and callers present, and after a failure (ADR 0062)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from commontrace.domain.errors import DatabaseUnavailable
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from tests.conftest import administer, query
from tests.integration.storage.search_corpora import clustered, insert
from tests.integration.storage.test_migrations import GOLDEN, fill, schema
from tests.support.locks import end_waiting_migration, held, until_waiting

MODEL = LexicalEmbedder(384)
BEFORE, WITH = "0022_create_namespaces", "0023_index_halves"
INDEX = "ix_traces_embedding_hnsw"
OF_BEFORE = "USING hnsw (embedding vector_cosine_ops) WITH (m='16', ef_construction='64')"
OF_HALVES = "USING hnsw (((embedding)::halfvec(384)) halfvec_cosine_ops) WITH (m='16', ef_construction='64')"
FILE = "SELECT pg_relation_filenode('{}')"
# A call of a server would wait for 2 s.
CALLS = (
    "SET lock_timeout = '500ms'; SELECT id FROM traces ORDER BY embedding <=> (SELECT embedding FROM traces LIMIT 1)",
    "SET lock_timeout = '500ms'; UPDATE traces SET embedding = embedding WHERE title = 'title'",
    "SET lock_timeout = '500ms'; UPDATE traces SET confirmation_count = confirmation_count + 1",
)


async def definitions(url: str) -> dict[str, str]:
    """The vector indexes of traces, valid or not, by name."""
    found = await query(
        url,
        "SELECT relname, pg_get_indexdef(pg_class.oid) FROM pg_class JOIN pg_am ON pg_am.oid = relam"
        " WHERE amname = 'hnsw' AND relkind = 'i'",
    )
    return {name: definition.partition("public.traces ")[2] for name, definition in found}


async def before_with_rows(url: str) -> None:
    assert await migrations.downgrade(url, BEFORE, MODEL)
    assert await definitions(url) == {INDEX: OF_BEFORE}
    await fill(url)


async def test_up_and_down_with_rows(database_url: str) -> None:
    await before_with_rows(database_url)
    golden = GOLDEN.read_text(encoding="utf-8")
    assert await schema(database_url) == golden.replace(OF_HALVES, OF_BEFORE)
    for _ in range(2):
        assert await migrations.upgrade(database_url, MODEL)
        assert await schema(database_url) == golden
        assert await migrations.downgrade(database_url, BEFORE, MODEL)
        assert await definitions(database_url) == {INDEX: OF_BEFORE}


async def test_without_rows(empty_database_url: str) -> None:
    await migrations.upgrade(empty_database_url, MODEL)
    assert await migrations.downgrade(empty_database_url, BEFORE, MODEL)
    assert await definitions(empty_database_url) == {INDEX: OF_BEFORE}
    assert await migrations.upgrade(empty_database_url, MODEL)
    assert await definitions(empty_database_url) == {INDEX: OF_HALVES}


async def test_calls_go_on_meanwhile_and_nothing_is_lost(database_url: str) -> None:
    corpus = await insert(database_url, clustered(1000))
    await migrations.downgrade(database_url, BEFORE, MODEL)
    migrating = asyncio.create_task(migrations.upgrade(database_url, MODEL))
    added = 0
    while not migrating.done():
        for call in CALLS:
            await administer(database_url, call)
        await administer(
            database_url,
            "INSERT INTO traces (id, title, context_text, solution_text, contributor_id, embedding,"
            " embedding_model_id, embedding_model_version)"
            " SELECT gen_random_uuid(), 'added', '', '', contributor_id, embedding, embedding_model_id,"
            " embedding_model_version FROM traces LIMIT 1",
        )
        added += 1
    assert await migrating
    assert added
    assert await definitions(database_url) == {INDEX: OF_HALVES}
    # All that the index holds, from one end to the other.
    by_index = (
        "SET enable_seqscan = off; SET hnsw.iterative_scan = relaxed_order; SET hnsw.ef_search = 1000;"
        " CREATE TEMP TABLE found AS SELECT id FROM traces ORDER BY embedding::halfvec(384)"
        " <=> (SELECT embedding::halfvec(384) FROM traces LIMIT 1) LIMIT 100000;"
        " DO $$ BEGIN ASSERT (SELECT count(DISTINCT id) FROM found) >= 0.99 * (SELECT count(*) FROM traces); END $$"
    )
    await administer(database_url, by_index)
    assert await query(database_url, "SELECT count(*) FROM traces") == [(len(corpus.ids) + added,)]


async def test_long_transactions_are_waited_for_and_hold_nobody_up(database_url: str) -> None:
    await before_with_rows(database_url)
    async with held(database_url, "LOCK TABLE traces IN ROW EXCLUSIVE MODE"):
        migrating = asyncio.create_task(migrations.upgrade(database_url, MODEL))
        await until_waiting(database_url)
        for call in CALLS:
            await administer(database_url, call)
        assert not migrating.done()
    assert await migrating
    assert await definitions(database_url) == {INDEX: OF_HALVES}


async def test_a_build_that_was_cut_off_is_done_again(database_url: str) -> None:
    await before_with_rows(database_url)
    async with held(database_url, "LOCK TABLE traces IN ROW EXCLUSIVE MODE"):
        migrating = asyncio.create_task(migrations.upgrade(database_url, MODEL))
        await until_waiting(database_url)
        await end_waiting_migration(database_url)
        with pytest.raises(DatabaseUnavailable, match="went away"):
            await migrating
    assert await definitions(database_url) == {INDEX: OF_BEFORE, f"{INDEX}_new": OF_HALVES}
    assert await migrations.current_revision(database_url) == BEFORE
    unfinished = await query(database_url, FILE.format(f"{INDEX}_new"))
    assert await migrations.upgrade(database_url, MODEL)
    assert await definitions(database_url) == {INDEX: OF_HALVES}
    assert await query(database_url, FILE.format(INDEX)) != unfinished


async def built(url: str) -> None:
    await administer(url, f"CREATE INDEX {INDEX}_new ON traces {OF_HALVES}")


async def swapped(url: str) -> None:
    await administer(url, f"ALTER INDEX {INDEX} RENAME TO {INDEX}_old")
    await administer(url, f"CREATE INDEX {INDEX} ON traces {OF_HALVES}")


@pytest.mark.parametrize("step", [built, swapped])
async def test_what_was_built_is_kept(database_url: str, step: Callable[[str], Awaitable[None]]) -> None:
    await before_with_rows(database_url)
    await step(database_url)
    found = [name for name, definition in (await definitions(database_url)).items() if definition == OF_HALVES]
    kept = await query(database_url, FILE.format(found[0]))
    assert await migrations.upgrade(database_url, MODEL)
    assert await definitions(database_url) == {INDEX: OF_HALVES}
    assert await query(database_url, FILE.format(INDEX)) == kept
