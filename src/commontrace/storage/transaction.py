"""Transaction: what the repositories of one unit of work run their statements on (ADR 0064)."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
from sqlalchemy import CursorResult, Executable
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from commontrace.storage.driver_statement import DriverStatement

COMMIT = "COMMIT"

_Parameters: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class Transaction:
    """An open transaction on one connection: statements by SQLAlchemy, and by the driver where that matters."""

    def __init__(self, connection: AsyncConnection, driver: asyncpg.Connection) -> None:
        self._connection = connection
        self._driver = driver

    async def execute(self, statement: Executable, parameters: _Parameters = None) -> CursorResult[*tuple[Any, ...]]:
        """Runs a statement by SQLAlchemy, once for each of several sets of parameters."""
        return await self._connection.execute(statement, parameters)

    async def fetch(self, statement: DriverStatement, parameters: Mapping[str, Any]) -> list[asyncpg.Record]:
        """Runs a compiled statement by the driver, at a quarter of the processor time; returns its rows."""
        rows: list[asyncpg.Record] = await self._driver.fetch(statement.sql, *statement.arguments(parameters))
        return rows

    async def copy(
        self, table: str, columns: Sequence[str] | None, rows: Iterable[tuple[Any, ...]], *, seconds: float
    ) -> None:
        """Copies rows into a table, into all its columns where none are named. SQLAlchemy has no COPY."""
        await self._driver.copy_records_to_table(table, columns=columns, records=rows, timeout=seconds)


@asynccontextmanager
async def begin(engine: AsyncEngine) -> AsyncIterator[Transaction]:
    """Opens a transaction on a connection of `engines.begun`: leaving commits, an exception rolls back."""
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        try:
            yield Transaction(connection, driver)
            await driver.execute(COMMIT)
        except Exception:
            # The pool rolls back.
            raise
        except BaseException:
            # A cancelled statement may still be running.
            await connection.invalidate()
            raise
