"""Connection factory: fixed session settings for every connection, and errors of connecting in the domain's terms."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import asyncpg
from asyncpg import Connection, InterfaceError, InternalClientError, PostgresError, UndefinedObjectError

from commontrace.domain.errors import CommonTraceError, DatabaseUnavailable
from commontrace.storage import vector_type
from commontrace.storage.error_mapping import map_driver_error

# Messages by SQLSTATE. Clients read them, so they name no user and no host; Postgres' own message is the cause.
_MESSAGES = {
    "08P01": "what listens for the database refuses the connection",
    "57P03": "the database is starting or stopping",
}
# Settings of every connection, because statements and migrations rely on them whatever the defaults of the role, the
# database or the server are (ADR 0053). Spelled as pg_settings has them, where they are read back.
#
# Left alone: search_path, which says where the tables are; default_transaction_read_only, with which an operator stops
# all writes; client_encoding, which the driver sets.
PINNED_SETTINGS = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "array_nulls": "on",
    "bytea_output": "hex",
    "default_transaction_deferrable": "off",
    # Statements see what was committed while they waited for a lock.
    "default_transaction_isolation": "read committed",
    "extra_float_digits": "1",
    "gin_fuzzy_search_limit": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "0",
    "quote_all_identifiers": "off",
    "row_security": "on",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "transform_null_equals": "off",
}
# What a connection cannot name as it is opened: not every version knows the time limits, and only a superuser may name
# session_replication_role, without which the triggers that keep the tables of searches true do not run.
_PIN_OTHERS = """
    SELECT set_config(name, value, false)
    FROM (VALUES ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('session_replication_role', 'origin'))
        AS pinned (name, value)
    WHERE current_setting(name, true) <> value"""
# TLS is off on a Unix socket, whatever PGSSLMODE says, as in libpq.
_WITHOUT_TLS = {"ssl": False, "direct_tls": False}
_NO_ANSWER = "the database cannot be reached"
_NO_VECTORS = "the database has no extension vector, or hides it from its user"


class SettingRefused(DatabaseUnavailable):
    """A setting that the service depends on was not applied, as behind a connection pooler (ADR 0053)."""


async def connect(*arguments: Any, **options: Any) -> Connection:
    """Opens a connection with `server_settings` and the pinned ones. Takes the arguments of `asyncpg.connect`.

    Raises DatabaseUnavailable, Overloaded, SettingRefused.
    """
    return await _open(_check_settings, *arguments, **options)


async def connect_with_vectors(*arguments: Any, **options: Any) -> Connection:
    """Opens such a connection with the binary vector codec as well. Raises the same."""
    return await _open(_prepare_vectors, *arguments, **options)


async def _open(
    prepare: Callable[[Connection, Mapping[str, str]], Awaitable[None]],
    *arguments: Any,
    server_settings: Mapping[str, str],
    **options: Any,
) -> Connection:
    settings = {**PINNED_SETTINGS, **server_settings}
    if _is_socket(options.get("host")):
        options |= _WITHOUT_TLS
    try:
        connection = await asyncpg.connect(*arguments, server_settings=settings, **options)
        try:
            await prepare(connection, settings)
            # Last: a pooler would hand a session with these settings on to other clients.
            await connection.execute(_PIN_OTHERS)
        except BaseException:
            connection.terminate()
            raise
    # ValueError: PGSSLMODE and the like, or an impossible host. KeyError: the URL names no user, and the user of the
    # process has no name.
    except (OSError, PostgresError, InterfaceError, InternalClientError, KeyError, ValueError) as error:
        raise _translate(error) from error
    return connection


def _is_socket(host: object) -> bool:
    return isinstance(host, str) and host.startswith("/")


async def _check_settings(connection: Connection, settings: Mapping[str, str]) -> None:
    rows = await connection.fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", list(settings))
    applied = {row["name"]: row["setting"] for row in rows}
    for name, value in settings.items():
        if applied.get(name) != value:
            raise SettingRefused(f"Postgres has {name} = {applied.get(name)!r} instead of {value!r}")


async def _prepare_vectors(connection: Connection, settings: Mapping[str, str]) -> None:
    try:
        await vector_type.register(connection)
        # Loads the library: before that, Postgres accepts any `hnsw.` setting without a check, and then drops it.
        await connection.execute("SELECT '[1]'::vector")
    except (UndefinedObjectError, ValueError):
        # Not chained: the driver's message is about types that it cannot find.
        raise DatabaseUnavailable(_NO_VECTORS) from None
    await _check_settings(connection, settings)


def _translate(error: Exception) -> CommonTraceError:
    state = getattr(error, "sqlstate", None) or ""
    if state in _MESSAGES:
        return DatabaseUnavailable(_MESSAGES[state])
    # Class 08, connection exception: no connection existed, so "the database went away" would be wrong.
    translated = None if state.startswith("08") else map_driver_error(error)
    return translated or DatabaseUnavailable(_NO_ANSWER)
