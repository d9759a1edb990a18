"""Unusable databases: server commands fail with a one-line message, and change nothing."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from commontrace.storage.postgres_url import parse_postgres_url
from tests.conftest import administer, query, url_of
from tests.support.command_in_process import run_in_process

NOWHERE = "127.0.0.1:1"
COMMANDS = ("migrate", "serve", "seed", "worker --once", "reembed", "bulk-import /dev/null", "recount", "keys list")
USING = COMMANDS[1:]
OWN = "give CommonTrace a database of its own"


@dataclass(frozen=True, kw_only=True)
class Case:
    """Statements that make a database unusable, with `{role}` and `{database}` as names, and the expected message."""

    done: tuple[str, ...]
    said: str
    advice: str
    check: str
    commands: tuple[str, ...] = ("migrate",)
    """Commands that fail with the message."""
    is_migrated: bool = False
    is_owner: bool = False
    """True if the role owns the database and has all rights on its tables."""
    made: str = "TEMPLATE template0"


def _encoded(name: str) -> Case:
    return Case(
        made=f"ENCODING '{name}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0",
        done=(),
        said=f"the database's encoding is {name}, which does not hold every text",
        advice="createdb --template=template0 --encoding=UTF8",
        check="encoding",
        commands=COMMANDS,
    )


CASES = {
    "LATIN1": _encoded("LATIN1"),
    "WIN1252": _encoded("WIN1252"),
    "LATIN9": _encoded("LATIN9"),
    "SQL_ASCII": _encoded("SQL_ASCII"),
    "EUC_JP": _encoded("EUC_JP"),
    "no right to create the extension": Case(
        done=("GRANT CREATE ON SCHEMA public TO {role}",),
        said='permission denied to create extension "vector"',
        advice="CREATE EXTENSION vector",
        check="pgvector",
    ),
    "extension off the search path": Case(
        done=(
            "CREATE SCHEMA elsewhere",
            "CREATE EXTENSION vector SCHEMA elsewhere",
            "GRANT CREATE ON SCHEMA public TO {role}",
        ),
        said="the extension vector is in the schema elsewhere, and not on the search_path of the user {role}",
        advice='ALTER ROLE {role} IN DATABASE {database} SET search_path = "$user", public, elsewhere',
        check="pgvector",
    ),
    "extension moved off the search path": Case(
        is_migrated=True,
        is_owner=True,
        done=("CREATE SCHEMA elsewhere", "ALTER EXTENSION vector SET SCHEMA elsewhere"),
        said="the extension vector is in the schema elsewhere",
        advice="SET search_path",
        check="pgvector",
        commands=USING,
    ),
    "old extension": Case(
        is_owner=True,
        done=("CREATE EXTENSION vector", "UPDATE pg_extension SET extversion = '0.5.0' WHERE extname = 'vector'"),
        said="pgvector 0.5.0 is too old",
        advice="ALTER EXTENSION vector UPDATE",
        check="pgvector",
    ),
    "no right to create tables": Case(
        done=("CREATE EXTENSION vector",),
        said="the user {role} may not create tables in the schema public",
        advice="GRANT CREATE ON SCHEMA public TO {role}",
        check="schema",
    ),
    "no schema": Case(
        done=("CREATE EXTENSION vector SCHEMA pg_catalog", "ALTER ROLE {role} SET search_path = absent"),
        said="no schema on the search_path of the user {role} (absent) exists",
        advice="SET search_path = public",
        check="schema",
    ),
    "users of another application": Case(
        is_owner=True,
        done=("CREATE EXTENSION vector", "CREATE TABLE users (id int)", "CREATE VIEW tags AS SELECT 1"),
        said="the schema public has tables of another application: tags, users",
        advice=OWN,
        check="schema",
    ),
    "alembic_version of another application": Case(
        is_owner=True,
        done=(
            "CREATE TABLE alembic_version (version_num text)",
            "INSERT INTO alembic_version VALUES ('ae1027a6acf')",
            "GRANT SELECT ON alembic_version TO {role}",
        ),
        said="the table alembic_version is another application's, it holds 'ae1027a6acf'",
        advice=OWN,
        check="revision",
        commands=COMMANDS,
    ),
    "several heads": Case(
        is_owner=True,
        done=(
            "CREATE TABLE alembic_version (version_num text)",
            "INSERT INTO alembic_version VALUES ('0001_a'), ('0001_b')",
            "GRANT SELECT ON alembic_version TO {role}",
        ),
        said="it holds '0001_a' and '0001_b'",
        advice=OWN,
        check="revision",
        commands=COMMANDS,
    ),
    "a revision called as ours are": Case(
        is_owner=True,
        done=(
            "CREATE TABLE alembic_version (version_num text)",
            "INSERT INTO alembic_version VALUES ('0001_initial_schema')",
            "GRANT SELECT ON alembic_version TO {role}",
        ),
        said="holds '0001_initial_schema', and CommonTrace's tables are not there",
        advice=OWN,
        check="revision",
        commands=COMMANDS,
    ),
    "alembic_version with other columns": Case(
        is_owner=True,
        done=(
            "CREATE TABLE alembic_version (id int)",
            "INSERT INTO alembic_version VALUES (7)",
            "GRANT SELECT ON alembic_version TO {role}",
        ),
        said="the table alembic_version is another application's",
        advice=OWN,
        check="revision",
        commands=COMMANDS,
    ),
    "alembic_version that may not be read": Case(
        done=("CREATE TABLE alembic_version (version_num text)",),
        said="permission denied for table alembic_version",
        advice="allow the user of DATABASE_URL",
        check="database",
        commands=COMMANDS,
    ),
    "no rights on tables": Case(
        is_migrated=True,
        done=("GRANT SELECT ON alembic_version TO {role}",),
        said="permission denied for table",
        advice="allow the user of DATABASE_URL",
        check="database",
        commands=USING,
    ),
    "triggers switched off": Case(
        is_migrated=True,
        is_owner=True,
        done=("ALTER ROLE {role} IN DATABASE {database} SET session_replication_role = replica",),
        said='permission denied to set parameter "session_replication_role"',
        advice="",
        check="database",
        commands=COMMANDS,
    ),
    "read-only": Case(
        is_owner=True,
        done=("ALTER DATABASE {database} SET default_transaction_read_only = on",),
        said="default_transaction_read_only is on: every write fails",
        advice="ALTER DATABASE {database} RESET default_transaction_read_only",
        check="writing",
    ),
    "a type of another application": Case(
        is_owner=True,
        done=("CREATE EXTENSION vector", "CREATE TYPE traces AS ENUM ('a')"),
        said="repeat it without the cause",
        advice="",
        check="",
    ),
    "no such tablespace": Case(
        is_owner=True,
        done=("CREATE EXTENSION vector", "ALTER ROLE {role} SET default_tablespace = pg_global"),
        said="repeat it without the cause",
        advice="",
        check="",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The database of a case: its URLs for the role and for the superuser."""

    url: str
    admin_url: str
    names: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture
def prepared(postgres_url: str, template: str) -> Iterator[Callable[[Case], Prepared]]:
    """Yields a function that creates the database of a case."""
    names = {kind: f"{kind}_{uuid4().hex}" for kind in ("role", "database")}
    admin_url = url_of(postgres_url, names["database"])

    def prepare(case: Case) -> Prepared:
        def run(statement: str, where: str = admin_url) -> None:
            asyncio.run(administer(where, statement.format(**names)))

        run("CREATE ROLE {role} LOGIN", postgres_url)
        made = f"TEMPLATE {template}" if case.is_migrated else case.made
        run("CREATE DATABASE {database} " + made, postgres_url)
        if case.is_owner:
            run("ALTER DATABASE {database} OWNER TO {role}")
            run("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        for statement in case.done:
            run(statement)
        url = parse_postgres_url(admin_url).set(username=names["role"]).render_as_string(hide_password=False)
        return Prepared(url=url, admin_url=admin_url, names=names)

    yield prepare
    for statement in ("DROP DATABASE IF EXISTS {database} WITH (FORCE)", "DROP ROLE IF EXISTS {role}"):
        asyncio.run(administer(postgres_url, statement.format(**names)))


async def contents(url: str) -> list[tuple[object, ...]]:
    """Returns the names of everything that a migration creates."""
    return await query(
        url,
        """
        SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT extname || extversion FROM pg_extension ORDER BY 1""",
    )


@pytest.mark.parametrize("name", CASES)
def test_what_keeps_a_database_from_being_used_is_one_line(
    prepared: Callable[[Case], Prepared], tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    database = prepared(case)
    said, advice = case.said.format(**database.names), case.advice.format(**database.names)
    before = asyncio.run(contents(database.admin_url))
    for command in case.commands:
        ended = run_in_process(tmp_path, *command.split(), DATABASE_URL=database.url)
        # The log also warns of the tests' Postgres, which runs without fsync.
        *logged, line = ended.stderr.splitlines()
        assert (ended.returncode, ended.stdout, ["fsync" in line for line in logged]) == (1, "", [True] * len(logged))
        assert line.startswith("commontrace: ")
        assert said in line
        assert advice in line
        assert asyncio.run(contents(database.admin_url)) == before
    ended = run_in_process(tmp_path, "doctor", "--json", "--address", NOWHERE, DATABASE_URL=database.url)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.stderr == ""
    if case.check:
        [finding] = [finding for finding in found if (finding["check"], finding["level"]) == (case.check, "problem")]
        assert advice in finding["advice"]


def test_a_schema_of_its_own_will_do(prepared: Callable[[Case], Prepared], tmp_path: Path) -> None:
    """Beside the tables of another application, for a role with a short statement_timeout."""
    own_schema = Case(
        done=(
            "CREATE EXTENSION vector",
            "CREATE TABLE users (id int)",
            "CREATE SCHEMA own AUTHORIZATION {role}",
            "ALTER ROLE {role} SET search_path = own, public",
            "ALTER ROLE {role} IN DATABASE {database} SET statement_timeout = '1ms'",
        ),
        said="",
        advice="",
        check="",
    )
    database = prepared(own_schema)
    before = asyncio.run(contents(database.admin_url))
    for command, said in {"migrate": "migrated to ", "seed": "seeded ", "recount": "recounted "}.items():
        ended = run_in_process(tmp_path, *command.split(), DATABASE_URL=database.url)
        assert (ended.returncode, ended.stdout.startswith(said)) == (0, True), ended
    ended = run_in_process(tmp_path, "doctor", "--json", "--address", NOWHERE, DATABASE_URL=database.url)
    levels = {finding["check"]: finding["level"] for finding in map(json.loads, ended.stdout.splitlines())}
    assert {check for check, level in levels.items() if level == "problem"} == {"durability"}
    assert asyncio.run(contents(database.admin_url)) == before
