"""Compiled statement for the driver: SQLAlchemy's execution costs a search more than driver and network (ADR 0022)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

_DIALECT: Any = PGDialect_asyncpg()  # type: ignore[no-untyped-call] # SQLAlchemy's is untyped


class DriverStatement:
    """Statement compiled for the driver: its SQL text, with parameters by position.

    Parameters are passed as they are, without SQLAlchemy's conversions.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self.statement = statement
        compiled: Any = statement.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self._literals: dict[str, Any] = compiled.params

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Returns the parameters in the statement's order. Literals of the statement have their values already."""
        return [parameters[name] if name in parameters else self._literals[name] for name in self._names]
