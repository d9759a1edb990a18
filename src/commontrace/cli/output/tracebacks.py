"""Tracebacks for the log without error messages, in which drivers and libraries quote stored rows and texts."""

import traceback
from types import TracebackType
from typing import TypeAlias

ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

# Attributes of Postgres errors that name the schema, and never hold data.
_SCHEMA_ATTRIBUTES = ("sqlstate", "constraint_name", "table_name", "column_name")


def traceback_without_messages(exc_info: ExceptionInfo) -> str:
    """Returns the traceback of an exception and of its causes, earliest first, each with its type and no message."""
    return "\n".join(_lines(exc_info[1]))


def _lines(error: BaseException) -> list[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = [] if before is None else [*_lines(before), "which led to"]
    lines += [line.rstrip("\n") for line in traceback.format_tb(error.__traceback__)]
    facts = [f"{name}={value}" for name in _SCHEMA_ATTRIBUTES if isinstance(value := getattr(error, name, None), str)]
    return [*lines, " ".join([f"{type(error).__module__}.{type(error).__qualname__}", *facts])]
