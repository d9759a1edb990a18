"""Session settings: every session pins those that statements rely on, against defaults of role and database."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import engines, migrations
from commontrace.storage.connections import PINNED_SETTINGS
from commontrace.storage.database import Database
from commontrace.storage.doctor.inspector import inspect_database
from commontrace.storage.encoding.reembedding import Reembedding
from commontrace.storage.encoding.reembedding_lock import exclusive_reembedding
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import ServerFactory, administer
from tests.contract.calls import call
from tests.contract.errors.error_row import CREATE, SEARCH
from tests.integration.storage.storing import stored

HOSTILE = {
    "DateStyle": "'SQL, DMY'",
    "IntervalStyle": "'iso_8601'",
    "TimeZone": "'Pacific/Apia'",
    "array_nulls": "off",
    "bytea_output": "'escape'",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "'serializable'",
    "extra_float_digits": "-15",
    "gin_fuzzy_search_limit": "1",
    "idle_in_transaction_session_timeout": "1",
    # Until it is set back, a session has so long: a busy machine needs some of it.
    "idle_session_timeout": "1000",
    "lock_timeout": "1",
    "quote_all_identifiers": "on",
    "row_security": "off",
    "session_replication_role": "'replica'",
    "standard_conforming_strings": "off",
    "statement_timeout": "1",
    "transform_null_equals": "on",
}
NEWER = {"transaction_timeout": "1000"}
"""Of Postgres 17."""
LATER = {"idle_session_timeout": "0", "transaction_timeout": "0", "session_replication_role": "origin"}
"""What is set as soon as a connection is open: not every version, or not every role, may name it before."""
SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY(CAST(:names AS text[]))"


async def make_hostile(url: str) -> None:
    """For every session of the database that begins later."""
    name = url.partition("?")[0].rpartition("/")[2]
    [(_, version)] = await _settings(engines.unpooled(url), ["server_version_num"])
    hostile = HOSTILE | (NEWER if int(version) >= 170_000 else {})
    await administer(url, ";".join(f"ALTER DATABASE {name} SET {key} = {value}" for key, value in hostile.items()))


async def _settings(engine: AsyncEngine, names: list[str]) -> list[tuple[str, str]]:
    async with engine.connect() as connection:
        found = [(name, setting) for name, setting in await connection.execute(text(SETTINGS), {"names": names})]
    await engine.dispose()
    return found


async def test_every_connection_has_what_statements_rely_on(database_url: str) -> None:
    await make_hostile(database_url)
    names, database = [*HOSTILE, *NEWER], Database(database_url)
    steps = Reembedding(database_url)

    async def by_driver(searching: Any) -> list[tuple[str, str]]:
        rows = await searching._connection.fetch(SETTINGS.replace(":names", "$1"), names)
        return [(row["name"], row["setting"]) for row in rows]

    async def of_diagnosis() -> list[tuple[str, str]]:
        async with inspect_database(database_url) as looking:
            rows = await looking._connection.execute(text(SETTINGS), {"names": names})
            return [(name, setting) for name, setting in rows]

    sessions = {
        "writes": await _settings(database._write_engine, names),
        "reads": await _settings(database._read_engine, names),
        "apart": await _settings(database._reserved_engine, names),
        "tail": await _settings(database._dedicated_engine, names),
        "searches": await database.search(by_driver),
        "migrations": await _settings(engines.unpooled(database_url), names),
        "reembed": await _settings(steps._engine, names),
        "reembed without limits": await _settings(steps._unlimited, names),
        "doctor": await of_diagnosis(),
    }
    limits = {name for name in names if name.endswith("_timeout")} - {*LATER}
    for session, found in sessions.items():
        settings = dict(found)
        assert {*PINNED_SETTINGS} <= {*settings}, session
        expected = PINNED_SETTINGS | LATER
        for name in {*settings} - limits:
            assert settings[name] == expected[name], (session, name)
        # Each has limits of its own, and none that of the database.
        assert all(settings[name] == "0" or int(settings[name]) >= 1000 for name in limits), session
    assert {*HOSTILE} == {*PINNED_SETTINGS, *LATER} - {*NEWER}
    await database.close()


async def test_time_limits_of_the_role_do_not_cut_migrations(empty_database_url: str) -> None:
    model = LexicalEmbedder(384)
    await make_hostile(empty_database_url)
    assert await migrations.upgrade(empty_database_url, model)
    assert await migrations.current_revision(empty_database_url) == migrations.newest_revision()
    assert await migrations.downgrade(empty_database_url, "0012_create_trace_signs", model)
    assert await migrations.upgrade(empty_database_url, model)


QUERIES = ("it's a \\ 'quoted' \"word\"", "back\\slash", "don''t E'\\x41' \\'; --", "plain words")


async def test_calls_are_answered_whatever_the_defaults_are(start_server: ServerFactory, database_url: str) -> None:
    await make_hostile(database_url)
    database = Database(database_url)
    async with start_server(database=database) as running:
        for number, query in enumerate(QUERIES):
            request = pb.CreateTraceRequest(title=query, context=f"context {number}", solution=query)
            assert await call(running.channel, CREATE, request.SerializeToString()) is None
        for ranking in (pb.RANKING_HYBRID, pb.RANKING_COSINE):
            for query in QUERIES:
                search = pb.SearchTracesRequest(text=query, ranking=ranking, limit=10)
                assert await call(running.channel, SEARCH, search.SerializeToString()) is None
    await database.close()


async def test_re_encoding_goes_on_whatever_the_defaults_are(database_url: str) -> None:
    database = Database(database_url)
    await stored(database)
    await database.close()
    await make_hostile(database_url)
    steps, model = Reembedding(database_url), LexicalEmbedder(64)
    async with exclusive_reembedding(database_url):
        await steps.start(model)
        await steps.validate()
        await steps.build_indexes()
        await steps.cancel()
    await steps.close()
