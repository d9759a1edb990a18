"""Refused queries of the doctor: any error of the database that is not one of the domain."""

from collections.abc import Iterator
from contextlib import contextmanager

from asyncpg import PostgresError
from sqlalchemy.exc import SQLAlchemyError

from commontrace.storage.error_mapping import translate_errors


class InspectionFailed(Exception):
    """The database refused a query, perhaps for a missing privilege; its message is in the cause."""


@contextmanager
def translate_refusals() -> Iterator[None]:
    """Translates errors of the block's queries to InspectionFailed or the domain's errors."""
    try:
        with translate_errors():
            yield
    # The first statements of a new connection raise the driver's own errors.
    except (SQLAlchemyError, PostgresError) as error:
        raise InspectionFailed("the database does not say") from error
