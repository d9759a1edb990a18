"""Error mapping: errors of SQLAlchemy and asyncpg become the domain's errors."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

from asyncpg import InterfaceError, InternalClientError, InvalidCachedStatementError, PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from commontrace.domain.errors import (
    Busy,
    CommonTraceError,
    DatabaseUnavailable,
    Overloaded,
)
from commontrace.storage.constraints import ERRORS
from commontrace.storage.sqlstate_errors import CONTENTION, NOT_ALLOWED, WENT_AWAY, map_sqlstate

POOL_EXHAUSTED = "every database connection is busy"
"""Message of Overloaded when no connection became free in time."""


class _Translation:
    """Context manager without state: every statement passes it, and one that is written as a generator costs more."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if error is None or not isinstance(error, Exception):
            return
        # SQLAlchemy finishes a commit although its task is cancelled. If the commit fails, its error replaces the
        # cancellation, and a loop that retries after errors would never end.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from error
        translated = _translated(error)
        if translated is not None:
            raise translated from error


_TRANSLATION = _Translation()


def translate_errors() -> AbstractContextManager[None]:
    """Translates database errors of the block to the domain's; errors that are bugs of ours pass unchanged.

    Raises CancelledError for any of them if the task was cancelled meanwhile.
    """
    return _TRANSLATION


def _translated(error: Exception) -> CommonTraceError | None:
    match error:
        case PoolTimeout():
            return Overloaded(POOL_EXHAUSTED)
        case DBAPIError():
            return _map_wrapped(error)
        case PostgresError():
            # From the driver's own connection: searches and COPY.
            return map_driver_error(error)
        case InterfaceError() | InternalClientError():
            # InternalClientError: the driver has read that Postgres is closing the connection, but not yet the end.
            return DatabaseUnavailable(WENT_AWAY)
        case OSError() | TimeoutError():
            return DatabaseUnavailable("the database cannot be reached")
        case _:
            return None


@contextmanager
def translate_contention() -> Iterator[None]:
    """Raises Busy for a lock timeout or a deadlock. Belongs inside `translate_errors`."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in CONTENTION:
            raise Busy("somebody else holds the lock") from error
        raise


def is_permanent_refusal(error: DBAPIError) -> bool:
    """Returns whether a retry cannot help: a missing privilege, or an object that exists or is missing."""
    driver_error = error.orig.__cause__ if error.orig is not None else None
    state = getattr(driver_error, "sqlstate", None)
    return state is not None and (state == NOT_ALLOWED or map_driver_error(driver_error) is None)


def is_outdated_plan(error: DBAPIError) -> bool:
    """Returns whether the statement was prepared before a column changed its type. Preparing it again helps."""
    return error.orig is not None and isinstance(error.orig.__cause__, InvalidCachedStatementError)


def _map_wrapped(error: DBAPIError) -> CommonTraceError | None:
    driver_error = error.orig.__cause__ if error.orig is not None else None
    translated = map_driver_error(driver_error)
    # Without a statement, the connecting or the commit failed.
    if translated is None and (error.connection_invalidated or error.statement is None):
        return DatabaseUnavailable(WENT_AWAY)
    return translated


def map_driver_error(error: BaseException | None) -> CommonTraceError | None:
    """Returns the domain's error for an error of the driver, None for a bug of ours."""
    constraint = getattr(error, "constraint_name", None) or ""
    if constraint in ERRORS:
        return ERRORS[constraint](f"the database refused it: {constraint}")
    if isinstance(error, InvalidCachedStatementError):
        return DatabaseUnavailable(WENT_AWAY)
    return map_sqlstate(getattr(error, "sqlstate", None) or "")
