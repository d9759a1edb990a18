"""Failures in the log: where, and of what kind. Not what they say: a driver repeats the row, others the text."""

import traceback
from types import TracebackType
from typing import TypeAlias

ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]

# What Postgres calls things, which callers cannot choose.
_FACTS = ("sqlstate", "constraint_name", "table_name", "column_name")


def traceback_without_messages(exc_info: ExceptionInfo) -> str:
    """Returns the traceback of a failure and of what led to it, earliest first, each failure as its type alone."""
    return "\n".join(_lines(exc_info[1]))


def _lines(error: BaseException) -> list[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = [] if before is None else [*_lines(before), "which led to"]
    lines += [line.rstrip("\n") for line in traceback.format_tb(error.__traceback__)]
    facts = [f"{name}={value}" for name in _FACTS if isinstance(value := getattr(error, name, None), str)]
    return [*lines, " ".join([f"{type(error).__module__}.{type(error).__qualname__}", *facts])]
