import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from commontrace.core.search.service import SearchService
from commontrace.core.traces import seed as trace_seeding
from commontrace.core.traces.seed import read_seeds
from commontrace.data_files import data_directory
from commontrace.domain.deadline import NEVER
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.search.query import Search
from commontrace.domain.traces.contribution import Contribution
from commontrace.embeddings.embedder import Embedder, ModelNotUsable
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.serving import bootstrap
from commontrace.serving.bootstrap import Foundation, Postgres
from commontrace.serving.not_ready import NotReady
from commontrace.settings import Settings
from commontrace.storage import engines, migrations
from commontrace.storage.database import Database
from commontrace.storage.doctor.inspector import inspect_database
from commontrace.storage.postgres_url import parse_postgres_url
from tests.conftest import administer, server_settings
from tests.integration.storage.storing import contributed
from tests.integration.storage.test_migrations import GOLDEN, schema
from tests.support.served_models import unchanging

ADA = "ada@example.org"
TABLES = ("users", "traces", "votes", "tags", "trace_tags")
LOCAL, AUTO = server_settings(embedder="local"), server_settings()


@pytest.fixture
def _no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real search for the model, on a machine where it is not installed."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user"))
    monkeypatch.setattr("commontrace.embeddings.local.model.MODEL_PACKAGE", "a_package_that_is_not_installed")


def lexical(dimensions: int = 384) -> Settings:
    return server_settings(embedder="lexical", embedding_dimensions=dimensions)


@asynccontextmanager
async def ready(url: str, settings: Settings, *, is_embedded: bool = False) -> AsyncIterator[Foundation]:
    where = Postgres(url=url, is_embedded=is_embedded)
    await bootstrap.migrate(where, settings)
    async with bootstrap.foundation(where, settings) as foundation:
        yield foundation


async def start(url: str, settings: Settings, *, is_embedded: bool = False) -> None:
    async with ready(url, settings, is_embedded=is_embedded):
        pass


async def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    engine = engines.unpooled(url)
    async with engine.begin() as connection:
        rows = [tuple(row) for row in await connection.execute(text(sql))]
    await engine.dispose()
    return rows


async def checksums(url: str, but: str = "{}") -> list[tuple[Any, ...]]:
    """Of every table's rows, `but` some columns."""
    rows = """
        SELECT '{}', md5(string_agg(row::text, ',' ORDER BY row::text))
        FROM (SELECT to_jsonb(t) - '{}'::text[] FROM {} AS t) AS rows (row)"""
    return await ask(url, " UNION ALL ".join(rows.format(table, but, table) for table in TABLES))


def a_contribution(*tags: str) -> Contribution:
    return Contribution(title="title", context="context", solution="solution", tags=tags, metadata={})


async def add_a_contribution(foundation: Foundation) -> None:
    await contributed(a_contribution("python"), ADA, foundation.database, foundation.embedder)


async def first_found(foundation: Foundation, query: str) -> UUID:
    searches = SearchService(foundation.database, unchanging(foundation.embedder))
    found = await searches.search(Search(query=query, limit=1), COMMONS_ONLY, deadline=NEVER)
    return found.neighbours[0].trace_id


async def test_seeding_twice_changes_nothing(empty_database_url: str) -> None:
    async with ready(empty_database_url, lexical()) as foundation:
        assert await bootstrap.seed(foundation) == 12
        before = await checksums(empty_database_url)
        assert await bootstrap.seed(foundation) == 0
        assert await checksums(empty_database_url) == before
    facts = "SELECT email, display_name, u.is_seed, t.is_seed, status, count(*)"
    joined = f"{facts} FROM traces AS t JOIN users AS u ON contributor_id = u.id GROUP BY 1, 2, 3, 4, 5"
    seeded = ("seed@commontrace.dev", "CommonTrace Seed", True, True, "validated", 12)
    assert await ask(empty_database_url, joined) == [seeded]
    [[tags]] = await ask(empty_database_url, "SELECT count(DISTINCT trace_id) FROM trace_tags")
    assert tags == 12


@pytest.mark.parametrize("seeded_before", [0, 1, 11])
async def test_two_who_seed_at_once_store_twelve(empty_database_url: str, seeded_before: int) -> None:
    async with ready(empty_database_url, lexical()) as foundation, ready(empty_database_url, lexical()) as twin:
        seeds = read_seeds(data_directory("fixtures"))
        earlier = dict(list(seeds.items())[:seeded_before])
        assert await trace_seeding.seed(earlier, foundation.database, foundation.embedder) == seeded_before
        stored = await asyncio.gather(bootstrap.seed(foundation), bootstrap.seed(twin))
    assert sorted(stored) == [0, 12 - seeded_before]
    assert await ask(empty_database_url, "SELECT count(*) FROM traces") == [(12,)]


async def test_seeding_and_contributing_new_tags_do_not_deadlock(empty_database_url: str) -> None:
    async with ready(empty_database_url, lexical()) as foundation:
        database, embedder = foundation.database, foundation.embedder
        seeds = {uuid4(): a_contribution("omega"), uuid4(): a_contribution("alpha")}
        async with database.unit_of_work() as work:
            await work.tags.get_or_create(["middle"])
            contributing = asyncio.create_task(
                contributed(a_contribution("alpha", "middle", "omega"), ADA, database, embedder)
            )
            # It has created alpha and waits for middle.
            await asyncio.sleep(0.2)
            seeding_all = asyncio.create_task(trace_seeding.seed(seeds, database, embedder))
            await asyncio.sleep(0.2)
        await asyncio.gather(contributing, seeding_all)
    assert await ask(empty_database_url, "SELECT name FROM tags ORDER BY 1") == [("alpha",), ("middle",), ("omega",)]


async def test_an_unmigrated_database_is_not_ready(empty_database_url: str) -> None:
    where = Postgres(url=empty_database_url, is_embedded=False)

    async def open_it() -> None:
        async with bootstrap.foundation(where, lexical()):
            pass

    with pytest.raises(NotReady, match="run `commontrace migrate`"):
        await open_it()
    assert await bootstrap.migrate(where, lexical())
    await migrations.downgrade(empty_database_url, "0001_initial_schema", LexicalEmbedder(384))
    with pytest.raises(NotReady, match=r"revision 0001_initial_schema.*run `commontrace migrate`"):
        await open_it()
    assert await bootstrap.migrate(where, lexical())
    assert not await bootstrap.migrate(where, lexical())
    await ask(empty_database_url, "UPDATE alembic_version SET version_num = '9999_of_tomorrow' RETURNING 1")
    with pytest.raises(NotReady, match="9999_of_tomorrow, of a newer version"):
        await open_it()
    with pytest.raises(NotReady, match="9999_of_tomorrow, of a newer version"):
        await bootstrap.migrate(where, lexical())


async def test_a_postgres_that_may_lose_what_it_acknowledged_is_refused(database_url: str) -> None:
    where, name = Postgres(url=database_url, is_embedded=False), parse_postgres_url(database_url).database

    async def refusal() -> str:
        with pytest.raises(NotReady) as refused:
            async with bootstrap.foundation(where, server_settings(allow_unsafe_postgres=False)):
                pass
        return str(refused.value)

    # The tests' Postgres does without fsync.
    assert "psql: ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf(), or set ALLOW_UNSAFE" in await refusal()
    with capture_logs() as logged:
        async with bootstrap.foundation(where, LOCAL):
            pass
    assert [line["event"] for line in logged] == ["what is acknowledged may be lost"]
    async with inspect_database(database_url) as diagnosis:
        assert (await diagnosis.get_postgres_facts()).durability["synchronous_commit"] == "on"
    await administer(database_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    async with inspect_database(database_url) as diagnosis:
        assert (
            (await diagnosis.get_postgres_facts())
            .remedies["synchronous_commit"]
            .startswith(f"ALTER DATABASE {name} RESET")
        )


@pytest.mark.parametrize(
    ("made_for", "asked_for", "fix"),
    [
        (LOCAL, lexical(384), "EMBEDDER=local and the same model files"),
        (lexical(7), LOCAL, "EMBEDDER=lexical EMBEDDING_DIMENSIONS=7"),
        (lexical(7), lexical(8), "EMBEDDER=lexical EMBEDDING_DIMENSIONS=7"),
    ],
    ids=["local to lexical", "lexical to local", "another dimension"],
)
async def test_another_model_than_the_databases_is_refused(
    empty_database_url: str, made_for: Settings, asked_for: Settings, fix: str
) -> None:
    async with ready(empty_database_url, made_for) as foundation:
        await add_a_contribution(foundation)
    before = await checksums(empty_database_url)
    for is_embedded in (True, False):
        with pytest.raises(NotReady, match=fix):
            await start(empty_database_url, asked_for, is_embedded=is_embedded)
        assert await checksums(empty_database_url) == before
    # The fix works.
    async with ready(empty_database_url, made_for) as foundation:
        assert await first_found(foundation, "title")


async def test_seeds_in_a_database_of_your_own_are_not_encoded_anew(empty_database_url: str) -> None:
    async with ready(empty_database_url, lexical(7)) as foundation:
        await bootstrap.seed(foundation)
    with pytest.raises(NotReady, match="EMBEDDER=lexical EMBEDDING_DIMENSIONS=7"):
        await start(empty_database_url, LOCAL)


async def test_an_embedded_database_of_seeds_follows_the_settings(empty_database_url: str) -> None:
    async with ready(empty_database_url, lexical(1536), is_embedded=True) as foundation:
        await bootstrap.seed(foundation)
    await ask(empty_database_url, "INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'a@b.c') RETURNING id")
    vote = """
        INSERT INTO votes (id, trace_id, voter_id, vote_type, revision)
        SELECT gen_random_uuid(), traces.id, users.id, 'up', 1 FROM traces, users WHERE email = 'a@b.c' RETURNING id"""
    assert len(await ask(empty_database_url, vote)) == 12
    seeds = read_seeds(data_directory("fixtures"))
    deleted, *live = seeds
    await ask(empty_database_url, f"UPDATE traces SET deleted_at = now() WHERE id = '{deleted}' RETURNING id")  # noqa: S608
    embedding = "{embedding,embedding_model_id,embedding_model_version}"
    kept = await checksums(empty_database_url, but=embedding)

    for settings, dimensions in ((AUTO, 384), (lexical(384), 384), (lexical(1536), 1536)):
        async with ready(empty_database_url, settings, is_embedded=True) as foundation:
            assert foundation.embedder.is_lexical == (settings.embedder == "lexical")
            assert [await first_found(foundation, seeds[seed].text) for seed in live[:4]] == live[:4]
            assert await bootstrap.seed(foundation) == 0
        assert await checksums(empty_database_url, but=embedding) == kept
        golden = re.sub(r"(vector|halfvec)\(384\)", rf"\1({dimensions})", GOLDEN.read_text(encoding="utf-8"))
        assert await schema(empty_database_url) == golden
        models = """
            SELECT embedding_model_id, embedding_model_version, vector_dims(embedding), count(*)
            FROM traces GROUP BY 1, 2, 3"""
        embedder = foundation.embedder
        assert await ask(empty_database_url, models) == [(embedder.model_id, embedder.model_version, dimensions, 12)]
        # Now the database is made for this model: nothing is done again.
        vectors = await checksums(empty_database_url)
        async with ready(empty_database_url, settings, is_embedded=True):
            assert await checksums(empty_database_url) == vectors


async def test_a_lexical_database_with_contributions_stays_lexical(empty_database_url: str) -> None:
    async with ready(empty_database_url, lexical(7)) as foundation:
        await add_a_contribution(foundation)
    before = await checksums(empty_database_url)
    for is_embedded in (True, False):
        async with ready(empty_database_url, AUTO, is_embedded=is_embedded) as foundation:
            assert (foundation.embedder.model_id, foundation.embedder.dimensions) == ("lexical-hash", 7)
            assert await first_found(foundation, "title")
        assert await checksums(empty_database_url) == before


async def test_dimensions_that_the_local_model_does_not_have_are_refused(empty_database_url: str) -> None:
    for embedder in ("local", "auto"):
        settings = server_settings(embedder=embedder, embedding_dimensions=1536)
        with pytest.raises(ModelNotUsable, match=r"EMBEDDING_DIMENSIONS is 1536.*unset it, or set EMBEDDER=lexical"):
            await start(empty_database_url, settings)
        assert await migrations.current_revision(empty_database_url) is None
    async with ready(empty_database_url, server_settings(embedding_dimensions=384)) as foundation:
        assert not foundation.embedder.is_lexical


@pytest.mark.usefixtures("_no_model")
@pytest.mark.parametrize("settings", [LOCAL, AUTO], ids=["local", "auto"])
async def test_a_database_made_for_a_model_that_is_missing_is_refused(
    database: Database, database_url: str, embedder: Embedder, settings: Settings
) -> None:
    await contributed(a_contribution(), ADA, database, embedder)
    for is_embedded in (True, False):
        with pytest.raises(ModelNotUsable, match=r"`commontrace models install` downloads it.*EMBEDDING_MODEL_DIR"):
            await start(database_url, settings, is_embedded=is_embedded)


async def test_a_wrong_model_directory_is_named(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotUsable, match=str(tmp_path)):
        await start(database_url, server_settings(embedding_model_dir=tmp_path))


@pytest.mark.usefixtures("_no_model")
async def test_only_a_new_database_falls_back_to_words(empty_database_url: str, database_url: str) -> None:
    with pytest.raises(ModelNotUsable):
        await start(empty_database_url, LOCAL)
    async with ready(empty_database_url, AUTO) as foundation:
        assert (foundation.embedder.is_lexical, foundation.embedder.dimensions) == (True, 1536)
    # As good as new: no contributions, and ours to encode anew.
    async with ready(database_url, AUTO, is_embedded=True) as foundation:
        assert (foundation.embedder.is_lexical, foundation.embedder.dimensions) == (True, 1536)


async def test_vectors_of_an_older_reading_are_served_and_told(database_url: str) -> None:
    async with ready(database_url, LOCAL) as made:
        newest = made.embedder.model_version
        trace_id = await contributed(
            Contribution(title="t", context="c", solution="s", metadata={}), ADA, *made_of(made)
        )
    older = newest.partition("-")[0]
    await administer(database_url, f"UPDATE embedding_models SET version = '{older}'")  # noqa: S608 - our own value
    await administer(database_url, f"UPDATE traces SET embedding_model_version = '{older}'")  # noqa: S608 - our own value

    with capture_logs() as logs:
        async with ready(database_url, LOCAL) as foundation:
            assert foundation.embedder.model_version == older
            found = await SearchService(foundation.database, unchanging(foundation.embedder)).search(
                Search(query="t", limit=3), COMMONS_ONLY, deadline=NEVER
            )

    assert [neighbour.trace_id for neighbour in found.neighbours] == [trace_id]
    [told] = [log for log in logs if "older reading" in log["event"]]
    assert (told["log_level"], told["version"]) == ("warning", older)


def made_of(foundation: Foundation) -> tuple[Database, Embedder]:
    return foundation.database, foundation.embedder
