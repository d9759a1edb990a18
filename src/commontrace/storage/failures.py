"""What the database's failures mean: driver errors in, the domain's errors out."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from asyncpg import InterfaceError, InternalClientError, InvalidCachedStatementError, PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from commontrace.core.errors import (
    Busy,
    CommonTraceError,
    DatabaseUnavailable,
    InvalidStoredVector,
    ModelReplaced,
    Outrun,
    Overloaded,
)

ALL_BUSY = "every database connection is busy"
"""What to say where there was none to be had in time."""

_BY_CONSTRAINT: dict[str, type[CommonTraceError]] = {
    "ck_traces_embedding_norm": InvalidStoredVector,
    "ck_traces_next_embedding_norm": InvalidStoredVector,
    "ix_traces_content_hash": Outrun,
    "ix_traces_supersedes_id": Outrun,
    "pk_traces": Outrun,
}

# SQLSTATE classes and codes: 08 connection, 40 rolled back by contention, 53 too many connections, 55P03 lock not
# available, 57014 query cancelled by a time limit of ours (a caller who leaves cancels the task instead), 57P shutdown.
_UNAVAILABLE = ("08", "57P", "57014", "55P03", "40")
_OVERLOADED = ("53",)
_WENT_AWAY = "the database went away or did not answer in time"
_CONTENDED = {"55P03", "40P01", "40001"}
# pgvector's for vectors of different lengths. Every vector was held against the model it is meant for.
_OTHER_LENGTH = "22000"


@contextmanager
def translated() -> Iterator[None]:
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
        meaning = _meaning_of_driver(error)
        if meaning is None:
            raise
        raise meaning from error
    except (InterfaceError, InternalClientError) as error:
        # The latter where the driver has read that Postgres ends the connection, and not yet that it has.
        raise DatabaseUnavailable(_WENT_AWAY) from error
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
    """Inside of `translated`: raises Busy for a lock that was not to be had in time, and for a deadlock."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _CONTENDED:
            raise Busy("somebody else holds the lock") from error
        raise


def connecting_failed(error: PostgresError) -> CommonTraceError:
    """Returns what it means that Postgres refused a connection, whatever it says."""
    return _meaning_of_driver(error) or DatabaseUnavailable(_WENT_AWAY)


def is_outdated_plan(error: DBAPIError) -> bool:
    """Tells whether the statement was prepared before a column got another type. Preparing it anew helps."""
    return error.orig is not None and isinstance(error.orig.__cause__, InvalidCachedStatementError)


def _meaning(error: DBAPIError) -> CommonTraceError | None:
    driver_error = error.orig.__cause__ if error.orig is not None else None
    meaning = _meaning_of_driver(driver_error)
    # Without a statement it was the connecting, or the commit, that failed.
    if meaning is None and (error.connection_invalidated or error.statement is None):
        return DatabaseUnavailable(_WENT_AWAY)
    return meaning


def _meaning_of_driver(error: BaseException | None) -> CommonTraceError | None:
    constraint = getattr(error, "constraint_name", None)
    if constraint in _BY_CONSTRAINT:
        return _BY_CONSTRAINT[constraint](f"the database refused it: {constraint}")
    state = getattr(error, "sqlstate", None) or ""
    if state.startswith(_OVERLOADED):
        return Overloaded("the database takes no more connections")
    if state == _OTHER_LENGTH:
        return ModelReplaced()
    is_away = state.startswith(_UNAVAILABLE) or isinstance(error, InvalidCachedStatementError)
    return DatabaseUnavailable(_WENT_AWAY) if is_away else None
