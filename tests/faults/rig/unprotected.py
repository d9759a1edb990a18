"""`commontrace` without one of its protections, so that scenarios can be seen to find what they look for.

`python -m tests.faults.rig.unprotected PROTECTION ...` runs the command of the remaining arguments.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import asyncpg
import grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace import bootstrap, server
from commontrace.cli import main
from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.interceptor import Handler, Interceptor
from commontrace.storage import advisory_lock, database, engines, trace_changes
from commontrace.storage.database import Answer, Database, Question
from commontrace.storage.search_pool import SearchPool

_WINDOW_SECONDS = 10.0
_HOLDERS = text("""
    SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND datname = current_database()""")

# What stock gRPC does, or worse where it limits by itself.
_OPEN = {
    "grpc.max_receive_message_length": -1,
    "grpc.max_concurrent_streams": 1_000_000,
    "grpc.max_metadata_size": 1 << 20,
    "grpc.absolute_max_metadata_size": 1 << 20,
    "grpc.server_handshake_timeout_ms": 120_000,
}


class _CarelessPool(SearchPool):
    """Gives connections back only where nothing goes wrong."""

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        await self._turns.__aenter__()
        pool = await self._opened()
        connection = await pool.acquire()
        yield connection
        await pool.release(connection)
        await self._turns.__aexit__(None, None, None)


class _Careless(Database):
    """Commits every statement by itself, and keeps what readers had who have left."""

    def __init__(self, url: str, **options: Any) -> None:
        with (
            patch.object(engines, "pooled", partial(engines.pooled, autocommit=True)),
            patch.object(database, "SearchPool", _CarelessPool),
        ):
            super().__init__(url, **options)
        self._kept: list[bytes] = []

    async def read(self, question: Question[Answer]) -> Answer:
        self._kept.append(b"x" * 300_000)
        answer = await super().read(question)
        self._kept.pop()
        return answer


class _Unbound(Database):
    """Asks readers' questions to the end, whether or not anybody still waits."""

    async def read(self, question: Question[Answer]) -> Answer:
        return await asyncio.shield(super().read(question))


class _Parsing(Interceptor):
    """Parses requests, and leaves what goes wrong to gRPC."""

    reads_bytes = True

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        parse: Any = handler.request_deserializer
        yield (parse(one) async for one in request) if handler.request_streaming else parse(request)


def _with_database(kind: Callable[..., Database]) -> AbstractContextManager[object]:
    return patch.object(bootstrap, "Database", kind)


def _with_options(**changed: int) -> AbstractContextManager[object]:
    stock = grpc.aio.server

    def open_server(*, options: Any, **others: Any) -> grpc.aio.Server:
        return stock(options=list((dict(options) | changed).items()), **others)

    return patch.object(grpc.aio, "server", open_server)


async def _taken_by_everybody(connection: AsyncConnection, key: int, **_patience: object) -> bool:
    # The first two go on in the same moment, however long either took to come.
    await connection.execute(text("SELECT pg_advisory_lock_shared(:key)"), {"key": key})
    ends_at = time.monotonic() + _WINDOW_SECONDS
    while (await connection.execute(_HOLDERS)).scalar_one() < 2 and time.monotonic() < ends_at:  # noqa: ASYNC110 - others come
        await asyncio.sleep(0.01)
    return True


def _without_trace_lock() -> AbstractContextManager[object]:
    statement: Any = trace_changes._LOCK._generate()
    statement._for_update_arg = None
    return patch.object(trace_changes, "_LOCK", statement)


MIGRATION_LOCK, TRACE_LOCK = "migration lock", "trace lock"

_WITHOUT: dict[str, Callable[[], AbstractContextManager[object]]] = {
    MIGRATION_LOCK: lambda: patch.object(advisory_lock, "taken", _taken_by_everybody),
    TRACE_LOCK: _without_trace_lock,
    "guard": lambda: patch.object(server, "GuardInterceptor", _Parsing),
    "transactions": lambda: _with_database(_Careless),
    "cancellation": lambda: _with_database(_Unbound),
    "pool timeout": lambda: _with_database(partial(Database, pool_timeout=30)),
    "transport limits": lambda: _with_options(**_OPEN),
}

if __name__ == "__main__":
    with _WITHOUT[sys.argv.pop(1)]():
        main()
