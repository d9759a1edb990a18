"""Advice for operators, by the error that the database raised."""

import ssl
from collections.abc import Iterator

from commontrace.domain.errors import OperatorNeeded
from commontrace.storage.connections import SettingRefused
from commontrace.storage.migrations import MigrationRefused
from commontrace.storage.sqlstate_errors import CONNECT_DIRECTLY, NOT_ALLOWED

REACH = "check host, port and parameters in DATABASE_URL, and that Postgres runs there"
_PARAMETERS = "check DATABASE_URL, and the variables that stand in for its parts: PGHOST, PGPORT, PGSSLMODE and others"
_TLS = "see whether Postgres has ssl on, and a certificate that sslmode in DATABASE_URL accepts"
_MIGRATE = (
    "migrate as the database's owner, and where the extension is what that user may not create, let a superuser run"
    " CREATE EXTENSION vector first"
)
_OWN_DATABASE = "give CommonTrace a database of its own"

# By SQLSTATE: errors of start, migration and doctor, which a running server does not meet.
_REMEDIES = {
    "08P01": CONNECT_DIRECTLY,
    "3F000": "put a schema that exists on the search_path of the user of DATABASE_URL",
    "42704": "put the schema of the extension vector on the search_path of the user of DATABASE_URL",
    "42710": _OWN_DATABASE,
    "42723": _OWN_DATABASE,
    "42P07": _OWN_DATABASE,
    "53300": "close connections, or raise max_connections",
    "57014": "look again when the database has less to do",
}


def advice_for(error: BaseException, *, otherwise: str) -> str:
    """Returns the advice for an error or one of its causes, `otherwise` if there is none."""
    errors = list(_with_causes(error))
    if isinstance(error, MigrationRefused) and any(getattr(cause, "sqlstate", None) == NOT_ALLOWED for cause in errors):
        return _MIGRATE
    return next(filter(None, map(_remedy, errors)), otherwise)


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _remedy(error: BaseException) -> str:
    if isinstance(error, OperatorNeeded):
        return error.advice
    if isinstance(error, SettingRefused):
        return CONNECT_DIRECTLY
    # The driver raises a plain ConnectionError if Postgres offers no TLS.
    if isinstance(error, ssl.SSLError) or type(error) is ConnectionError:
        return _TLS
    if isinstance(error, ValueError | KeyError):
        return _PARAMETERS
    return _REMEDIES.get(getattr(error, "sqlstate", None) or "", REACH if isinstance(error, OSError) else "")
