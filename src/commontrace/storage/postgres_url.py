"""Parser of DATABASE_URL. Error messages never quote the URL: it may hold a password."""

import getpass
import os
import re
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import ArgumentError

# Query parameters that asyncpg knows; others end in a TypeError.
_PARAMETERS = {
    "database",
    "gsslib",
    "host",
    "password",
    "port",
    "prepared_statement_cache_size",
    "ssl",
    "sslmode",
    "target_session_attrs",
    "user",
}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SESSION_KINDS = ("any", "primary", "standby", "prefer-standby", "read-write", "read-only")
_WORDS = {
    "ssl": _SSL_MODES,
    "sslmode": _SSL_MODES,
    "target_session_attrs": _SESSION_KINDS,
    "gsslib": ("gssapi", "sspi"),
}
_MAY_BE_REPEATED = {"host"}
_CACHE_SIZE = re.compile("[0-9]{1,6}")
_MAX_PORT = 65535
_DIGITS = re.compile("[0-9]{1,5}")

_NOT_A_POSTGRES_URL = "DATABASE_URL must be a Postgres URL, such as postgresql://user:password@host:5432/name"
_PORT = "DATABASE_URL has a port that is none: it must be a number from 1 to 65535"
_PGPORT = "PGPORT, which stands in for the port of DATABASE_URL, is none: it must be a number from 1 to 65535"
_HOSTS = (
    "DATABASE_URL names several hosts in a way that is not understood: write each with its port, as"
    " postgresql://user:password@/name?host=HOST:PORT&host=HOST:PORT"
)


def parse_postgres_url(url: str) -> URL:
    """Returns a Postgres URL, in any spelling, in the form of SQLAlchemy and asyncpg. Raises ValueError."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not chained: the parser's message may quote the URL, and so the password.
        raise ValueError(_HOSTS if "," in url.rpartition("@")[2] else _NOT_A_POSTGRES_URL) from None
    if "," in (parsed.host or ""):
        raise ValueError(_HOSTS)
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ValueError(_NOT_A_POSTGRES_URL)
    unknown = sorted(parsed.query.keys() - _PARAMETERS)
    if unknown:
        raise ValueError(
            f"DATABASE_URL has parameters that are not supported: {', '.join(unknown)}"
            f" (supported: {', '.join(sorted(_PARAMETERS))})"
        )
    parsed = parsed.set(drivername="postgresql+asyncpg")
    _check(parsed)
    if not (parsed.username or parsed.query.get("user") or os.environ.get("PGUSER")):
        _require_system_user()
    # `sslmode` is libpq's name for asyncpg's `ssl`.
    sslmode = parsed.query.get("sslmode")
    if sslmode is not None:
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": sslmode})
    return parsed


def driver_keywords(url: URL) -> dict[str, Any]:
    """Returns the keyword arguments of `asyncpg.connect` for a parsed URL, with SQLAlchemy's own among them."""
    dialect: Any = PGDialect_asyncpg()  # type: ignore[no-untyped-call] # SQLAlchemy's is untyped
    keywords: dict[str, Any] = dialect.create_connect_args(url)[1]
    return keywords


def _require_system_user() -> None:
    """Raises ValueError if the user of this process has no name, as in many containers: the driver would need it."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        raise ValueError(
            "DATABASE_URL names no user, and the system has no name for the one who runs this:"
            " write postgresql://USER@HOST/NAME, or set PGUSER"
        ) from None


def _check(url: URL) -> None:
    for name, value in url.query.items():
        if not isinstance(value, str) and name not in _MAY_BE_REPEATED:
            raise ValueError(f"DATABASE_URL has {name} more than once: keep one of them")
    for name, words in _WORDS.items():
        if url.query.get(name, words[0]) not in words:
            raise ValueError(f"DATABASE_URL has {name} of another value than {', '.join(words)}")
    if not _CACHE_SIZE.fullmatch(str(url.query.get("prepared_statement_cache_size", "0"))):
        raise ValueError("DATABASE_URL has a prepared_statement_cache_size that is none: it must be a number from 0")
    try:
        keywords = driver_keywords(url)
    except (ArgumentError, ValueError):
        hosts = url.query.get("host", "")
        raise ValueError(_HOSTS if isinstance(hosts, tuple) or "," in hosts else _PORT) from None
    ports = keywords.get("port", [])
    # SQLAlchemy treats port 0 as absent.
    if url.port == 0 or not all(1 <= port <= _MAX_PORT for port in (ports if isinstance(ports, list) else [ports])):
        raise ValueError(_PORT)
    # uvloop connects to what is left of a port that is too high, modulo 65536.
    if not ports and not all(map(_is_port, (os.environ.get("PGPORT") or "5432").split(","))):
        raise ValueError(_PGPORT)
    if not all(_can_be_sent(value) for value in keywords.values()):
        raise ValueError("DATABASE_URL holds a character that Postgres takes nowhere, such as %00: leave it out")


def _is_port(text: str) -> bool:
    return _DIGITS.fullmatch(text) is not None and 1 <= int(text) <= _MAX_PORT


def _can_be_sent(value: object) -> bool:
    try:
        return b"\0" not in str(value).encode()
    except UnicodeEncodeError:
        return False
