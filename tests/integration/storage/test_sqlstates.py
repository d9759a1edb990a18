"""Translation of Postgres' error codes, for every kind of statement."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from commontrace.domain.errors import (
    CommonTraceError,
    DatabaseReadOnly,
    DatabaseUnavailable,
    ModelReplaced,
    OperatorNeeded,
    Overloaded,
)
from commontrace.storage.database import Database
from commontrace.storage.sqlstate_errors import map_sqlstate
from tests.conftest import RunningServer, administer
from tests.contract.calls import call
from tests.contract.errors.error_row import CREATE, VALID
from tests.integration.storage.storing import run

RAISE = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{}', MESSAGE = 'a text of a caller'; END $$"

AWAY = ("08006", "08003", "25P03", "25P04", "40001", "40P01", "55006", "55P03", "57014", "57P01", "57P03", "72000")
MENDED = {
    "28P01": "refuses the password",
    "3D000": "no such database",
    "42501": "does not allow",
    "53000": "too little",
    "53100": "disk",
    "53200": "out of memory",
    "53400": "limit in the configuration",
    "55000": "state",
    "58000": "files",
    "58030": "files",
    "58P01": "files",
    "F0000": "configuration",
    "XX001": "data of the database is damaged",
    "XX002": "index of the database is damaged",
}


async def write(database: Database, statement: str) -> None:
    async with database.unit_of_work() as work:
        await work.traces._executor.execute(text(statement))


async def read(database: Database, statement: str) -> None:
    await database.read(lambda reading: run(reading, statement))


async def search(database: Database, statement: str) -> None:
    await database.search(lambda searching: run(searching, statement))


WAYS = (write, read, search)


@pytest.mark.parametrize("way", WAYS)
async def test_every_code_has_its_meaning(database: Database, way: Callable[[Database, str], Awaitable[None]]) -> None:
    async def raised(state: str) -> CommonTraceError:
        with pytest.raises(CommonTraceError) as failure:
            await way(database, RAISE.format(state))
        assert "a text" not in str(failure.value)
        return failure.value

    for state in AWAY:
        error = await raised(state)
        assert type(error) is DatabaseUnavailable, state
        assert "did not answer in time" in str(error)
    for state, said in MENDED.items():
        error = await raised(state)
        assert type(error) is OperatorNeeded, state
        assert said in str(error)
        assert error.advice
        assert error.sqlstate == state
    assert type(await raised("25006")) is DatabaseReadOnly
    assert type(await raised("22000")) is ModelReplaced
    assert type(await raised("53300")) is Overloaded


def test_what_is_the_fault_of_a_statement_has_no_meaning() -> None:
    for state in ("", "0A000", "22001", "22P02", "23505", "25P02", "42601", "42P01", "XX000", "P0001"):
        assert map_sqlstate(state) is None


@pytest.mark.parametrize("state", ["53100", "58030", "XX001"])
async def test_the_operator_finds_in_the_log_what_callers_are_not_told(
    server: RunningServer, database_url: str, state: str
) -> None:
    raising = RAISE.format(state).removeprefix("DO $$").removesuffix("END $$") + "END $$"
    await administer(
        database_url,
        f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $${raising};"
        " CREATE TRIGGER fails BEFORE INSERT ON traces FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    with capture_logs() as lines:
        failure = await call(server.channel, CREATE, VALID[CREATE].SerializeToString())
    assert failure is not None
    said = str(failure.details())
    assert said.startswith("DATABASE_UNAVAILABLE: ")
    [line] = [line for line in lines if line["event"] == "the database has to be mended"]
    assert (line["log_level"], line["sqlstate"]) == ("error", state)
    assert line["advice"]
    assert line["why"] in said
    assert line["advice"] not in said
    assert "a text" not in str(lines)
