"""Statements that bypass SQLAlchemy's execution: it costs a search more than the driver and the network together."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

_DIALECT: Any = PGDialect_asyncpg()  # type: ignore[no-untyped-call] # SQLAlchemy's is untyped


class DriverStatement:
    """A statement as the driver takes it, compiled once: its text, and its parameters by position.

    Parameters are passed as they are, without SQLAlchemy's conversions.
    """

    def __init__(self, statement: ClauseElement) -> None:
        compiled: Any = statement.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self._fixed: dict[str, Any] = compiled.params

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Returns the parameters in the statement's order; those that it holds itself need not be given."""
        return [parameters[name] if name in parameters else self._fixed[name] for name in self._names]
