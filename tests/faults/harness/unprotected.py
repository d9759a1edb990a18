"""`commontrace` without one of its protections, so that scenarios can be seen to find what they look for.

`python -m tests.faults.harness.unprotected PROTECTION ...` runs the command of the remaining arguments.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any
from unittest.mock import patch

import asyncpg
import grpc
import httpx2
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.cli import main
from commontrace.domain.traces.trace_filter import ResolvedFilter
from commontrace.embeddings.hosted import endpoint
from commontrace.embeddings.hosted.client import EndpointResponse
from commontrace.rpc import request_receiver
from commontrace.rpc.call import Context
from commontrace.rpc.interceptors import authentication, backpressure
from commontrace.rpc.interceptors.base import AroundInterceptor, Handler, unary_behavior
from commontrace.rpc.interceptors.deferred_receive import DeferredReceiveInterceptor
from commontrace.serving import bootstrap, interceptor_chain
from commontrace.storage import advisory_lock, database, engines, transaction
from commontrace.storage.database import Database, ReadOperation, Result
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.search_pool import SearchPool
from commontrace.storage.traces import changes as trace_changes
from tests.faults.harness import unbounded_statements

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


class _UnboundedClient:
    """Reads and follows whatever an endpoint sends."""

    def __init__(self, base_url: str, *, api_key: str, seconds: float, connect_seconds: float) -> None:
        self._url = f"{base_url}/embeddings"
        headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        timeout = httpx2.Timeout(seconds, connect=connect_seconds)
        self._http = httpx2.AsyncClient(headers=headers, timeout=timeout, follow_redirects=True)

    @property
    def is_closed(self) -> bool:
        return self._http.is_closed

    async def post(self, body: bytes, *, most_bytes: int) -> EndpointResponse:  # noqa: ARG002
        answer = await self._http.post(self._url, content=body)
        return EndpointResponse(status=answer.status_code, content=answer.content, retry_after=None)

    async def close(self) -> None:
        await self._http.aclose()


class _CarelessPool(SearchPool):
    """Gives connections back only where nothing goes wrong."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        slot = self._limiter.slot()
        await slot.__aenter__()
        pool = await self._opened()
        connection = await pool.acquire()
        yield connection
        await pool.release(connection)
        await slot.__aexit__(None, None, None)


class _Careless(Database):
    """Keeps what readers had who have left."""

    def __init__(self, url: str, **options: Any) -> None:
        with patch.object(database, "SearchPool", _CarelessPool):
            super().__init__(url, **options)
        self._kept: list[bytes] = []

    async def read(self, operation: ReadOperation[Result], *, trace_filter: ResolvedFilter | None = None) -> Result:
        self._kept.append(b"x" * 1_000_000)
        answer = await super().read(operation, trace_filter=trace_filter)
        self._kept.pop()
        return answer


class _Unbound(Database):
    """Asks readers' questions to the end, whether or not anybody still waits."""

    async def read(self, operation: ReadOperation[Result], *, trace_filter: ResolvedFilter | None = None) -> Result:
        return await asyncio.shield(super().read(operation, trace_filter=trace_filter))


class _Unguarded(AroundInterceptor):
    """Leaves what goes wrong to gRPC."""

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        yield request


class _Hasty(DeferredReceiveInterceptor):
    """Receives the message of every call before anything is known of its caller, through grpc.aio's own iterator."""

    def wrap(self, handler: Handler, method: str) -> Handler:
        if handler.request_streaming or handler.response_streaming:
            return super().wrap(handler, method)
        answer = unary_behavior(handler)

        async def unary(requests: AsyncIterator[bytes], context: Context) -> Any:
            message = await anext(aiter(requests))
            return await answer(_again(message), context)

        return grpc.stream_unary_rpc_method_handler(unary, None, handler.response_serializer)


async def _again(message: bytes) -> AsyncIterator[bytes]:
    yield message


@contextmanager
def _without_front_door() -> Iterator[None]:
    with (
        patch.object(interceptor_chain, "DeferredReceiveInterceptor", _Hasty),
        _with_options(**{"grpc.max_receive_message_length": 4 << 20, "grpc.http2.bdp_probe": 1}),
    ):
        yield


@contextmanager
def _without_shares() -> Iterator[None]:
    nobody: ContextVar[str] = ContextVar("nobody", default="")
    with (
        patch.object(authentication, "served_user", nobody),
        patch.multiple(backpressure, MAX_UNSENT_BYTES=1 << 40, MAX_CONCURRENT_COST=1 << 40),
    ):
        yield


@contextmanager
def _without_transactions() -> Iterator[None]:
    """Commits every statement by itself."""
    with (
        patch.object(engines, "BEGIN", "SELECT 1"),
        patch.object(transaction, "COMMIT", "SELECT 1"),
        _with_database(_Careless),
    ):
        yield


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


def _without_lock(name: str) -> AbstractContextManager[object]:
    locking = getattr(trace_changes, name)
    is_drivers = isinstance(locking, DriverStatement)
    statement: Any = (locking.statement if is_drivers else locking)._generate()
    statement._for_update_arg = None
    return patch.object(trace_changes, name, DriverStatement(statement) if is_drivers else statement)


MIGRATION_LOCK, TRACE_LOCK, PURGE_LOCK = "migration lock", "trace lock", "purge lock"

_WITHOUT: dict[str, Callable[[], AbstractContextManager[object]]] = {
    MIGRATION_LOCK: lambda: patch.object(advisory_lock, "acquire", _taken_by_everybody),
    TRACE_LOCK: lambda: _without_lock("_LOCK"),
    PURGE_LOCK: lambda: _without_lock("_BLOCK_PURGES"),
    "guard": lambda: patch.object(interceptor_chain, "ErrorMappingInterceptor", _Unguarded),
    "filter budget": unbounded_statements.without_filter_budget,
    "word budget": unbounded_statements.without_word_budget,
    "strangers": lambda: patch.object(request_receiver, "MAX_CONCURRENT_ANONYMOUS", 1 << 20),
    "tag names": unbounded_statements.with_names_in_order,
    "endpoint bounds": lambda: patch.object(endpoint, "EndpointClient", _UnboundedClient),
    "front door": _without_front_door,
    "shares": _without_shares,
    "transactions": _without_transactions,
    "cancellation": lambda: _with_database(_Unbound),
    "pool timeout": lambda: _with_database(partial(Database, pool_timeout=30)),
    "transport limits": lambda: _with_options(**_OPEN),
}

if __name__ == "__main__":
    with _WITHOUT[sys.argv.pop(1)]():
        main()
