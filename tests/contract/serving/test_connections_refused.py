"""Connections that a database refuses: one line by commands, an error for the callers of a server."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from commontrace.domain.errors import DatabaseUnavailable
from commontrace.embeddings.embedder import Embedder
from commontrace.storage import migrations
from commontrace.storage.database import Database
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.postgres_url import parse_postgres_url
from tests.conftest import administer, url_of
from tests.faults.harness.proxy import proxy_before
from tests.integration.storage.postgres_owners import socket_dir
from tests.integration.storage.storing import stored
from tests.support.command_in_process import run_in_process

NOWHERE = "127.0.0.1:1"
COMMANDS = ("migrate", "serve", "worker --once", "reembed", "bulk-import /dev/null", "recount", "keys list")
ACCESS = "local all ada scram-sha-256\nlocal all eve reject\nlocal all postgres trust\n"
READ_ONLY = "ALTER DATABASE {} SET default_transaction_read_only = on"
REACH = "check host, port and parameters in DATABASE_URL"

# The user and the database of the URL; what is said, and what helps.
REFUSED = {
    "wrong password": (
        "ada:secret",
        "postgres",
        "the database refuses the password: password auth",
        "user and password",
    ),
    "no password": ("ada", "postgres", "the database refuses the password: ", "user and password"),
    "pg_hba.conf": ("eve:secret", "postgres", "or connections from here: pg_hba.conf rejects", "and pg_hba.conf"),
    "no such user": (
        "mallory:secret",
        "postgres",
        "refuses the user, or connections from here: no pg_hba",
        "pg_hba.conf",
    ),
    "no such database": ("postgres", "absent", 'there is no such database: database "absent" does', "createdb"),
    "no right to connect": ("bob:secret", "closed", 'permission denied for database "closed"', "allow the user"),
}

# What DATABASE_URL is, and variables beside it.
UNREACHABLE = {
    "nobody listens": ("postgresql://ada:secret@127.0.0.1:1/x", {}, "cannot be reached: [Errno 111]", REACH),
    "no such host": ("postgresql://ada:secret@no-such-host.invalid/x", {}, "cannot be reached: [Errno -2]", REACH),
    "no host at all": ("postgresql://ada:secret@a..b/x", {}, "label empty or too long", "check DATABASE_URL"),
    "no such socket": ("postgresql://ada:secret@/x?host=/nonexistent", {}, "No such file or directory", REACH),
    "a port that is none": (
        "postgresql://ada:secret@db/x?port=abc",
        {},
        "DATABASE_URL has a port that is none",
        "65535",
    ),
    "two hosts": ("postgresql://ada:secret@a,b/x", {}, "names several hosts", "host=HOST:PORT"),
    "no certificate": ("postgresql://ada:secret@127.0.0.1:1/x?sslmode=verify-full", {}, "root certificate", "check"),
    "PGPORT": ("postgresql://ada:secret@127.0.0.1/x", {"PGPORT": "abc"}, "PGPORT, which stands in", "65535"),
    "PGPORT of no port": (
        "postgresql://ada:secret@127.0.0.1/x",
        {"PGPORT": "99999"},
        "PGPORT, which stands in",
        "65535",
    ),
    "PGSSLMODE": ("postgresql://ada:secret@127.0.0.1:1/x", {"PGSSLMODE": "abc"}, "`sslmode` parameter", "PGSSLMODE"),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Iterator[str]:
    """A migrated Postgres that asks some users for passwords."""
    data_dir = tmp_path_factory.mktemp("guarded") / "data"
    with embedded_postgres.start(data_dir) as postgres:
        asyncio.run(migrations.upgrade(postgres.url, embedder))
        for statement in (
            "CREATE ROLE ada LOGIN PASSWORD 'right'; CREATE ROLE eve LOGIN; CREATE ROLE bob LOGIN",
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO ada",
            "CREATE DATABASE closed",
            "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
        ):
            asyncio.run(administer(postgres.url, statement))
        [access] = data_dir.glob("postgres-*/pg_hba.conf")
        access.write_text(ACCESS + "local all bob trust\n")
        asyncio.run(administer(postgres.url, "SELECT pg_reload_conf()"))
        yield postgres.url


def as_user(url: str, user: str) -> str:
    # The password in the embedded URL is not asked for.
    return url.replace("postgres@", f"{user}@").replace("password=none&", "")


def check_lines(place: Path, said: str, advice: str, *commands: str, **variables: str) -> None:
    """Checks the lines of each command, and those of doctor."""
    for command in commands:
        ended = run_in_process(place, *command.split(), **variables)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1), ended
        assert said in ended.stderr
        assert advice in ended.stderr
        assert "secret" not in ended.stderr
    ended = run_in_process(place, "doctor", "--json", "--address", NOWHERE, **variables)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    [finding] = [finding for finding in found if finding["check"] == "database"]
    assert (ended.returncode, ended.stderr, finding["level"]) == (1, "", "problem")
    assert said in f"{finding['message']} {finding['advice']}"
    assert advice in finding["advice"]
    assert "secret" not in ended.stdout


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_database_refuses_is_said_in_one_line(guarded: str, tmp_path: Path, name: str) -> None:
    user, database, said, advice = REFUSED[name]
    url = as_user(url_of(guarded, database), user)
    check_lines(tmp_path, said, advice, *COMMANDS, DATABASE_URL=url)


@pytest.mark.parametrize("name", UNREACHABLE)
def test_what_cannot_be_reached_is_said_in_one_line(tmp_path: Path, name: str) -> None:
    url, variables, said, advice = UNREACHABLE[name]
    check_lines(tmp_path, said, advice, "migrate", "serve", DATABASE_URL=url, **variables)


async def test_tls_that_a_database_does_not_speak(guarded: str, tmp_path: Path) -> None:
    async with proxy_before(socket_dir(guarded) / ".s.PGSQL.5432") as proxy:
        url = f"postgresql://postgres@{proxy.address}/postgres?sslmode=require"
        await asyncio.to_thread(
            check_lines, tmp_path, "rejected SSL upgrade", "whether Postgres has ssl on", "keys list", DATABASE_URL=url
        )


async def test_what_is_no_postgres(tmp_path: Path) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as web:
        port = web.sockets[0].getsockname()[1]
        for mode in ("disable", "prefer", "require"):
            url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode={mode}"
            await asyncio.to_thread(check_lines, tmp_path, "cannot be reached", "", "keys list", DATABASE_URL=url)


async def test_a_password_that_changes_while_a_server_runs(guarded: str) -> None:
    database = Database(as_user(guarded, "ada:right"), pool_size=1)
    try:
        await database.ping()
        await administer(guarded, "ALTER ROLE ada PASSWORD 'other'")
        await administer(guarded, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ada'")
        for ask in (database.ping(), database.search(lambda _: asyncio.sleep(0))):
            with pytest.raises(DatabaseUnavailable, match="the database refuses the password"):
                await ask
        await administer(guarded, "ALTER ROLE ada PASSWORD 'right'")
        await database.ping()
        await database.search(lambda _: asyncio.sleep(0))
    finally:
        await database.close()


async def test_a_database_that_stops_taking_writes(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    try:
        await administer(url_of(database_url, "postgres"), READ_ONLY.format(parse_postgres_url(database_url).database))
        with pytest.raises(DatabaseUnavailable, match="the database only reads"):
            await stored(database)
    finally:
        await database.close()
