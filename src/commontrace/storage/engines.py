"""How connections to Postgres are made and what every one of them is set to."""

from collections.abc import Mapping
from typing import Any

from asyncpg import Connection, InterfaceError, InternalClientError, PostgresError
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from commontrace.storage import vector_type

# Postgres leaves these timeouts off; each bounds what one call can cost. Milliseconds.
SESSION = {
    "application_name": "commontrace",
    "jit": "off",
    "statement_timeout": "5000",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "10000",
    "client_connection_check_interval": "2000",
    # Whatever the database's default is: statements have to see what was committed while they waited for a lock.
    "default_transaction_isolation": "read committed",
}

# Without iterative scans a search silently returns fewer rows than exist, and left to itself the planner would read and
# sort up to thousands of rows (14 ms instead of 0.8). Exact passes do not use these connections. Planning anew for
# every vector would find the same plan again, for a tenth of a search.
SEARCH = {
    "plan_cache_mode": "force_generic_plan",
    "hnsw.iterative_scan": "relaxed_order",
    "enable_seqscan": "off",
    "enable_sort": "off",
}

# asyncpg fails on others with a TypeError.
_URL_PARAMETERS = {"database", "host", "password", "port", "prepared_statement_cache_size", "ssl", "sslmode", "user"}
_NOT_A_POSTGRES_URL = "DATABASE_URL must be a Postgres URL, such as postgresql://user:password@host:5432/name"

# Whoever waits for a table makes everybody else wait behind: for less than the lock_timeout of calls.
_MIGRATE = {"application_name": "commontrace-migrate", "lock_timeout": "1000"}

CONNECT_SECONDS = 3
COMMAND_SECONDS = 10
RECYCLE_SECONDS = 1800


class SettingRefused(Exception):
    """Postgres did not take a setting that the service depends on."""


def pooled(
    url: str, settings: Mapping[str, str], *, size: int, timeout: float, autocommit: bool = False
) -> AsyncEngine:
    """Returns an engine of at most `size` connections that speak binary vectors; `timeout` is in seconds.

    With transactions, connections are tried before use. With `autocommit` they are not.
    """
    engine = create_async_engine(
        postgres_url(url),
        pool_size=size,
        max_overflow=0,
        pool_timeout=timeout,
        isolation_level="AUTOCOMMIT" if autocommit else None,
        pool_recycle=RECYCLE_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": COMMAND_SECONDS,
            "server_settings": dict(settings),
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(adapted: Any, _record: object) -> None:
        adapted.run_async(lambda connection: prepare(connection, settings))

    if not autocommit:
        event.listen(engine.sync_engine, "checkout", _try)
    return engine


def dedicated(url: str, settings: Mapping[str, str]) -> AsyncEngine:
    """Returns an engine whose connections stay open only as long as they are used; in autocommit, without vectors."""
    return create_async_engine(
        postgres_url(url),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": COMMAND_SECONDS,
            "server_settings": dict(settings),
        },
    )


def unpooled(url: str, settings: Mapping[str, str] = _MIGRATE) -> AsyncEngine:
    """Returns an engine for migrations: no pool, no vector codec (the type may not exist yet), no limit of time."""
    return create_async_engine(
        postgres_url(url),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "server_settings": dict(settings),
        },
    )


async def prepare(connection: Connection, settings: Mapping[str, str]) -> None:
    """Makes a new connection speak binary vectors. Raises SettingRefused where Postgres did not take the settings."""
    await vector_type.register(connection)
    # Postgres takes an unknown `hnsw.` setting in silence until the library is loaded, then forgets it.
    await connection.execute("SELECT '[1]'::vector")
    rows = await connection.fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", list(settings))
    taken = {row["name"]: row["setting"] for row in rows}
    for name, value in settings.items():
        if taken.get(name) != value:
            raise SettingRefused(f"Postgres has {name} = {taken.get(name)!r} instead of {value!r}")


def postgres_url(url: str) -> URL:
    """Returns any spelling of a Postgres URL as SQLAlchemy and asyncpg want it. Raises ValueError."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not chained: what the parser says may quote the URL, and so the password.
        raise ValueError(_NOT_A_POSTGRES_URL) from None
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ValueError(_NOT_A_POSTGRES_URL)
    unknown = sorted(parsed.query.keys() - _URL_PARAMETERS)
    if unknown:
        raise ValueError(
            f"DATABASE_URL has parameters that are not supported: {', '.join(unknown)}"
            f" (supported: {', '.join(sorted(_URL_PARAMETERS))})"
        )
    parsed = parsed.set(drivername="postgresql+asyncpg")
    # libpq's name for it; asyncpg's is `ssl`.
    sslmode = parsed.query.get("sslmode")
    if sslmode is not None:
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": sslmode})
    return parsed


def _try(adapted: Any, _record: object, _proxy: object) -> None:
    """Makes the pool replace a dead connection, in one round trip. SQLAlchemy's own pre-ping takes three."""
    try:
        adapted.run_async(lambda connection: connection.fetchrow(";"))
    except (OSError, TimeoutError, InterfaceError, InternalClientError, PostgresError) as error:
        raise DisconnectionError from error
