"""What Postgres' error codes mean, of those that are no fault of the statement: by code, or by class, its first two."""

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
CONTENDED = frozenset({"55P03", "40P01", "40001"})

_POOLED = "something before Postgres, such as PgBouncer, shares its connections between transactions"
DIRECTLY = "connect to Postgres directly, not through a pooler such as PgBouncer"
_LOG = "look into Postgres' own log"

Meaning = Callable[[str], CommonTraceError]


def _away(_state: str) -> CommonTraceError:
    """Waiting helps, and health tells of what lasts."""
    return DatabaseUnavailable(WENT_AWAY)


def _operator(message: str, advice: str) -> Meaning:
    return lambda state: OperatorNeeded(message, advice=advice, sqlstate=state)


_MEANINGS: dict[str, Meaning] = {
    "08": _away,
    # pgvector's for vectors of different lengths. Every vector was held against the model it is meant for.
    "22000": lambda _state: ModelReplaced(),
    READ_ONLY: lambda _state: DatabaseReadOnly(),
    # Time limits of a session: what waited is gone with its connection.
    "25P03": _away,
    "25P04": _away,
    # A prepared statement that is not there, or there already, because it is another client's.
    "26000": _operator(_POOLED, DIRECTLY),
    "28": _operator(
        "the database refuses the user, or connections from here", "check the user in DATABASE_URL, and pg_hba.conf"
    ),
    "28P01": _operator("the database refuses the password", "check user and password in DATABASE_URL"),
    "3D000": _operator(
        "there is no such database", "check the database's name in DATABASE_URL, or create it: createdb NAME"
    ),
    # Rolled back by contention, a recovery on a standby included.
    "40": _away,
    NOT_ALLOWED: _operator(
        "the database does not allow the server what it needs",
        "allow the user of DATABASE_URL to connect, and all on CommonTrace's tables, sequences and functions",
    ),
    "42P05": _operator(_POOLED, DIRECTLY),
    "53": _operator("the database has too little of something that it needs", _LOG),
    "53100": _operator("the disk of the database is full", "make room where Postgres keeps its data; nothing is lost"),
    "53200": _operator(
        "the database is out of memory",
        "give Postgres more memory, or lower its shared_buffers, work_mem, or max_connections",
    ),
    "53300": lambda _state: Overloaded("the database takes no more connections"),
    "53400": _operator(
        "a limit in the configuration of the database is reached", f"{_LOG}, and raise the limit that it names"
    ),
    # Such as a lock that a standby does not give.
    "55000": _operator("the database is not in a state for what was asked of it", _LOG),
    "55006": _away,
    "55P03": _away,
    # Cancelled by a time limit of ours; a caller who leaves cancels the task instead.
    "57014": _away,
    # Shut down, crashed, starting, dropped.
    "57P": _away,
    "58": _operator(
        "the database cannot read or write its files", f"{_LOG}, and at the disk; it may need a restart or a backup"
    ),
    "72": _away,
    "F0": _operator("the configuration of the database is broken", _LOG),
    "XX001": _operator("data of the database is damaged", f"{_LOG}: stop the server and restore a backup"),
    "XX002": _operator(
        "an index of the database is damaged", f"{_LOG} for its name, then psql: REINDEX INDEX CONCURRENTLY NAME"
    ),
}


def meaning_of(state: str) -> CommonTraceError | None:
    """Returns the domain's error for a code; None for what is the statement's fault, and so ours."""
    for length in (5, 3, 2):
        meaning = _MEANINGS.get(state[:length])
        if meaning is not None:
            return meaning(state)
    return None
