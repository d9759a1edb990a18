"""SQLSTATE table: domain errors by code, or by class (its first two characters), unless the statement is at fault."""

from collections.abc import Callable

from commontrace.domain.errors import (
    CommonTraceError,
    DatabaseReadOnly,
    DatabaseUnavailable,
    ModelReplaced,
    OperatorNeeded,
    Overloaded,
)

WENT_AWAY = "the database went away or did not answer in time"

READ_ONLY = "25006"
NOT_ALLOWED = "42501"
CONTENTION = frozenset({"55P03", "40P01", "40001"})

_BEHIND_POOLER = "something before Postgres, such as PgBouncer, shares its connections between transactions"
CONNECT_DIRECTLY = "connect to Postgres directly, not through a pooler such as PgBouncer"
_READ_LOG = "look into Postgres' own log"

ErrorFactory = Callable[[str], CommonTraceError]


def _unavailable(_state: str) -> CommonTraceError:
    # Clients retry; health reports what lasts.
    return DatabaseUnavailable(WENT_AWAY)


def _needs_operator(message: str, advice: str) -> ErrorFactory:
    return lambda state: OperatorNeeded(message, advice=advice, sqlstate=state)


_ERRORS: dict[str, ErrorFactory] = {
    "08": _unavailable,
    # From pgvector, for vectors of different lengths: every vector was compared with its model before.
    "22000": lambda _state: ModelReplaced(),
    READ_ONLY: lambda _state: DatabaseReadOnly(),
    # Timeouts of a session, which close its connection.
    "25P03": _unavailable,
    "25P04": _unavailable,
    # A prepared statement is missing or exists already, because a pooler shares sessions between clients (ADR 0053).
    "26000": _needs_operator(_BEHIND_POOLER, CONNECT_DIRECTLY),
    "28": _needs_operator(
        "the database refuses the user, or connections from here", "check the user in DATABASE_URL, and pg_hba.conf"
    ),
    "28P01": _needs_operator("the database refuses the password", "check user and password in DATABASE_URL"),
    "3D000": _needs_operator(
        "there is no such database", "check the database's name in DATABASE_URL, or create it: createdb NAME"
    ),
    # Transaction rollback: contention, or a recovery conflict on a standby.
    "40": _unavailable,
    NOT_ALLOWED: _needs_operator(
        "the database does not allow the server what it needs",
        "allow the user of DATABASE_URL to connect, and all on CommonTrace's tables, sequences and functions",
    ),
    "42P05": _needs_operator(_BEHIND_POOLER, CONNECT_DIRECTLY),
    "53": _needs_operator("the database has too little of something that it needs", _READ_LOG),
    "53100": _needs_operator(
        "the disk of the database is full", "make room where Postgres keeps its data; nothing is lost"
    ),
    "53200": _needs_operator(
        "the database is out of memory",
        "give Postgres more memory, or lower its shared_buffers, work_mem, or max_connections",
    ),
    "53300": lambda _state: Overloaded("the database takes no more connections"),
    "53400": _needs_operator(
        "a limit in the configuration of the database is reached", f"{_READ_LOG}, and raise the limit that it names"
    ),
    # Such as a lock that a standby cannot grant.
    "55000": _needs_operator("the database is not in a state for what was asked of it", _READ_LOG),
    "55006": _unavailable,
    "55P03": _unavailable,
    # Cancelled by the statement_timeout: a caller that hangs up cancels the task instead.
    "57014": _unavailable,
    # Operator intervention: shutdown, crash, start-up, dropped database.
    "57P": _unavailable,
    "58": _needs_operator(
        "the database cannot read or write its files",
        f"{_READ_LOG}, and at the disk; it may need a restart or a backup",
    ),
    "72": _unavailable,
    "F0": _needs_operator("the configuration of the database is broken", _READ_LOG),
    "XX001": _needs_operator("data of the database is damaged", f"{_READ_LOG}: stop the server and restore a backup"),
    "XX002": _needs_operator(
        "an index of the database is damaged", f"{_READ_LOG} for its name, then psql: REINDEX INDEX CONCURRENTLY NAME"
    ),
}


def map_sqlstate(state: str) -> CommonTraceError | None:
    """Returns the domain's error for a code, None if the statement is at fault, which is a bug of ours."""
    for length in (5, 3, 2):
        create = _ERRORS.get(state[:length])
        if create is not None:
            return create(state)
    return None
