"""What the database's failures mean: driver errors in, the domain's errors out."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from asyncpg import InterfaceError, InternalClientError, InvalidCachedStatementError, PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from commontrace.domain.errors import (
    Busy,
    CommonTraceError,
    DatabaseUnavailable,
    Overloaded,
)
from commontrace.storage.constraints import MEANINGS
from commontrace.storage.sqlstates import CONTENDED, NOT_ALLOWED, WENT_AWAY, meaning_of

ALL_BUSY = "every database connection is busy"
"""What to say where there was none to be had in time."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raises the domain's error for what the block's database calls raise; what is nobody's fault but ours stays.

    In a task that was cancelled meanwhile, it raises CancelledError for any of them.
    """
    try:
        with _cancellation_kept():
            yield
    except PoolTimeout as error:
        raise Overloaded(ALL_BUSY) from error
    except DBAPIError as error:
        meaning = _meaning(error)
        if meaning is None:
            raise
        raise meaning from error
    except PostgresError as error:
        # From the driver's own connection, which COPY goes through.
        meaning = meaning_of_driver(error)
        if meaning is None:
            raise
        raise meaning from error
    except (InterfaceError, InternalClientError) as error:
        # The latter where the driver has read that Postgres ends the connection, and not yet that it has.
        raise DatabaseUnavailable(WENT_AWAY) from error
    except (OSError, TimeoutError) as error:
        raise DatabaseUnavailable("the database cannot be reached") from error


@contextmanager
def _cancellation_kept() -> Iterator[None]:
    # SQLAlchemy finishes a commit all the same, and where that fails, its error takes the place of the cancellation:
    # whoever tries again after errors would never end.
    try:
        yield
    except Exception as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from error
        raise


@contextmanager
def contention_told() -> Iterator[None]:
    """Inside of `translate_errors`: raises Busy for a lock that was not to be had in time, and for a deadlock."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in CONTENDED:
            raise Busy("somebody else holds the lock") from error
        raise


def is_refusal(error: DBAPIError) -> bool:
    """Tells whether Postgres refused the statement for good: because of rights, or of what is there or is not."""
    driver_error = error.orig.__cause__ if error.orig is not None else None
    state = getattr(driver_error, "sqlstate", None)
    return state is not None and (state == NOT_ALLOWED or meaning_of_driver(driver_error) is None)


def is_outdated_plan(error: DBAPIError) -> bool:
    """Tells whether the statement was prepared before a column got another type. Preparing it anew helps."""
    return error.orig is not None and isinstance(error.orig.__cause__, InvalidCachedStatementError)


def _meaning(error: DBAPIError) -> CommonTraceError | None:
    driver_error = error.orig.__cause__ if error.orig is not None else None
    meaning = meaning_of_driver(driver_error)
    # Without a statement it was the connecting, or the commit, that failed.
    if meaning is None and (error.connection_invalidated or error.statement is None):
        return DatabaseUnavailable(WENT_AWAY)
    return meaning


def meaning_of_driver(error: BaseException | None) -> CommonTraceError | None:
    """Returns what a failure of the driver means, None for what is nobody's fault but ours."""
    constraint = getattr(error, "constraint_name", None) or ""
    if constraint in MEANINGS:
        return MEANINGS[constraint](f"the database refused it: {constraint}")
    if isinstance(error, InvalidCachedStatementError):
        return DatabaseUnavailable(WENT_AWAY)
    return meaning_of(getattr(error, "sqlstate", None) or "")
