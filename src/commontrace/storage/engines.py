"""SQLAlchemy engines: pools, their connections' session settings, and how dead connections are replaced."""

import time
from collections.abc import Mapping
from typing import Any, Literal

from asyncpg import InterfaceError, InternalClientError, PostgresError
from sqlalchemy import ExceptionContext, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from commontrace.storage.connections import connect, connect_with_vectors
from commontrace.storage.postgres_url import parse_postgres_url
from commontrace.storage.sqlstate_errors import READ_ONLY

# Timeouts in milliseconds: each bounds the cost of one call.
SESSION_SETTINGS = {
    "application_name": "commontrace",
    "jit": "off",
    "statement_timeout": "5000",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "10000",
    "client_connection_check_interval": "2000",
}

# Connections of approximate searches alone (ADR 0001). Without iterative scans a search silently returns fewer rows
# than exist. With sequential scans and sorts the planner would read and sort up to thousands of rows (14 ms instead of
# 0.8). A custom plan for every vector is the same plan again, and costs a tenth of a search.
SEARCH_SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "hnsw.iterative_scan": "relaxed_order",
    "enable_seqscan": "off",
    "enable_sort": "off",
}

# A migration that waits for a lock on a table makes all later calls wait behind it, so it waits for less than the
# lock_timeout of calls.
_MIGRATION_SETTINGS = {"application_name": "commontrace-migrate", "lock_timeout": "1000"}

BEGIN = "BEGIN"

_LOST = (OSError, TimeoutError, InterfaceError, InternalClientError, PostgresError)

CONNECT_SECONDS = 3
COMMAND_SECONDS = 10
RECYCLE_SECONDS = 1800


def pooled(
    url: str, settings: Mapping[str, str], *, size: int, timeout: float, autocommit: bool = False
) -> AsyncEngine:
    """Returns an engine of at most `size` connections that speak binary vectors; `timeout` is in seconds.

    With transactions, connections are pinged before use; with `autocommit` they are not: a statement can be repeated.
    """
    engine = create_async_engine(
        parse_postgres_url(url),
        pool_size=size,
        max_overflow=0,
        pool_timeout=timeout,
        isolation_level="AUTOCOMMIT" if autocommit else None,
        pool_recycle=RECYCLE_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={
            "async_creator_fn": connect_with_vectors,
            "timeout": CONNECT_SECONDS,
            "command_timeout": COMMAND_SECONDS,
            "server_settings": dict(settings),
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(_adapted: object, _record: object) -> None:
        # SQLAlchemy replaces connections that are older, by the wall clock, than the last failure. A failure while that
        # clock was ahead would make it replace every connection on every use (ADR 0039).
        pool = engine.sync_engine.pool
        pool._invalidate_time = min(pool._invalidate_time, time.time())

    event.listen(engine.sync_engine, "handle_error", _drop_read_only)
    if not autocommit:
        event.listen(engine.sync_engine, "checkout", _ping)
    return engine


def begun(url: str, settings: Mapping[str, str], *, size: int, timeout: float) -> AsyncEngine:
    """Returns an engine whose connections come with an open transaction, and are rolled back when they are given back.

    For `transaction.begin`. BEGIN is the ping: where it fails, the pool opens another connection.
    """
    engine = pooled(url, settings, size=size, timeout=timeout, autocommit=True)
    event.listen(engine.sync_engine, "checkout", _begin)
    event.listen(engine.sync_engine, "reset", _roll_back)
    return engine


def dedicated(url: str, settings: Mapping[str, str]) -> AsyncEngine:
    """Returns an engine without a pool, in autocommit and without the vector codec, for connections that listen."""
    return _poolless(url, settings, isolation_level="AUTOCOMMIT", command_timeout=COMMAND_SECONDS)


def unpooled(url: str, settings: Mapping[str, str] = _MIGRATION_SETTINGS) -> AsyncEngine:
    """Returns an engine for migrations: no pool, no vector codec (the type may not exist yet), no command timeout."""
    return _poolless(url, settings, isolation_level=None, command_timeout=None)


def _poolless(
    url: str,
    settings: Mapping[str, str],
    *,
    isolation_level: Literal["AUTOCOMMIT"] | None,
    command_timeout: float | None,
) -> AsyncEngine:
    return create_async_engine(
        parse_postgres_url(url),
        poolclass=NullPool,
        isolation_level=isolation_level,
        hide_parameters=True,
        connect_args={
            "async_creator_fn": connect,
            "timeout": CONNECT_SECONDS,
            "command_timeout": command_timeout,
            "server_settings": dict(settings),
        },
    )


def _drop_read_only(context: ExceptionContext) -> None:
    """Drops the pool's connections after a read-only error: each keeps the default that its session began with."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _ping(adapted: Any, _record: object, _proxy: object) -> None:
    """Makes the pool replace a dead connection, in one round trip; SQLAlchemy's own pre-ping takes three."""
    _run(adapted, "SELECT 1")


def _begin(adapted: Any, _record: object, _proxy: object) -> None:
    _run(adapted, BEGIN)


def _roll_back(adapted: Any, _record: object, _state: object) -> None:
    driver = adapted.driver_connection
    # One that is closed is replaced at its next use.
    if driver.is_in_transaction() and not driver.is_closed():
        _run(adapted, "ROLLBACK")


def _run(adapted: Any, statement: str) -> None:
    try:
        adapted.run_async(lambda connection: connection.execute(statement))
    except _LOST as error:
        raise DisconnectionError from error
