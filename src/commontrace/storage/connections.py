"""Opens connections to Postgres, and says what is refused where none is to be had."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import asyncpg
from asyncpg import Connection, InterfaceError, InternalClientError, PostgresError, UndefinedObjectError

from commontrace.domain.errors import CommonTraceError, DatabaseUnavailable
from commontrace.storage import vector_type
from commontrace.storage.error_mapping import meaning_of_driver

# Whoever calls the server reads these, so they name nobody; what Postgres says is their cause. By SQLSTATE.
_REFUSALS = {
    "08P01": "what listens for the database refuses the connection",
    "57P03": "the database is starting or stopping",
}
# What statements and migrations rely on, whatever the role, the database or the server has for defaults. Every
# connection of ours has it. As Postgres spells it in pg_settings, where it is read back.
#
# Not here: the search_path, which says where the tables are; default_transaction_read_only, by which somebody keeps
# everybody from writing; client_encoding, which the driver sets.
PINNED = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "array_nulls": "on",
    "bytea_output": "hex",
    "default_transaction_deferrable": "off",
    # Statements have to see what was committed while they waited for a lock.
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
_NO_ANSWER = "the database cannot be reached"
_NO_VECTORS = "the database has no extension vector, or hides it from its user"


class SettingRefused(DatabaseUnavailable):
    """Postgres did not take a setting that the service depends on."""


async def connect(*arguments: Any, **options: Any) -> Connection:
    """Opens a connection that has its `server_settings` and what is pinned. Takes what the driver does.

    Raises DatabaseUnavailable, Overloaded, SettingRefused.
    """
    return await _prepared(_has_settings, *arguments, **options)


async def connect_with_vectors(*arguments: Any, **options: Any) -> Connection:
    """Opens a connection that speaks binary vectors as well. Raises the same."""
    return await _prepared(_speak_vectors, *arguments, **options)


async def _prepared(
    prepare: Callable[[Connection, Mapping[str, str]], Awaitable[None]],
    *arguments: Any,
    server_settings: Mapping[str, str],
    **options: Any,
) -> Connection:
    settings = {**PINNED, **server_settings}
    try:
        connection = await asyncpg.connect(*arguments, server_settings=settings, **options)
        try:
            await prepare(connection, settings)
            # Not before: a pooler would hand the session on to others.
            await connection.execute(_PIN_OTHERS)
        except BaseException:
            connection.terminate()
            raise
    # A ValueError is of PGSSLMODE and the like, or of a host that cannot be one; a KeyError of a process whose user has
    # no name, where the URL names none.
    except (OSError, PostgresError, InterfaceError, InternalClientError, KeyError, ValueError) as error:
        raise _refusal(error) from error
    return connection


async def _has_settings(connection: Connection, settings: Mapping[str, str]) -> None:
    rows = await connection.fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", list(settings))
    taken = {row["name"]: row["setting"] for row in rows}
    for name, value in settings.items():
        if taken.get(name) != value:
            raise SettingRefused(f"Postgres has {name} = {taken.get(name)!r} instead of {value!r}")


async def _speak_vectors(connection: Connection, settings: Mapping[str, str]) -> None:
    try:
        await vector_type.register(connection)
        # Postgres takes an unknown `hnsw.` setting in silence until the library is loaded, then forgets it.
        await connection.execute("SELECT '[1]'::vector")
    except (UndefinedObjectError, ValueError):
        # Not chained: the driver's own words are of types that it cannot find.
        raise DatabaseUnavailable(_NO_VECTORS) from None
    await _has_settings(connection, settings)


def _refusal(error: Exception) -> CommonTraceError:
    state = getattr(error, "sqlstate", None) or ""
    if state in _REFUSALS:
        return DatabaseUnavailable(_REFUSALS[state])
    # Where the connection broke, it never was one.
    meaning = None if state.startswith("08") else meaning_of_driver(error)
    return meaning or DatabaseUnavailable(_NO_ANSWER)
