"""Precompiled statements for asyncpg: SQLAlchemy's execution costs a search more than driver and network (ADR 0022)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

_DIALECT: Any = PGDialect_asyncpg()  # type: ignore[no-untyped-call] # SQLAlchemy's is untyped


class DriverStatement:
    """A statement compiled once for the driver: SQL text with numbered parameters.

    Parameters are passed on unchanged, without SQLAlchemy's type conversions.
    """

    def __init__(self, statement: ClauseElement) -> None:
        compiled: Any = statement.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self._fixed: dict[str, Any] = compiled.params

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Returns the parameters in the statement's order; those that are literals of the statement may be left out."""
        return [parameters[name] if name in parameters else self._fixed[name] for name in self._names]
