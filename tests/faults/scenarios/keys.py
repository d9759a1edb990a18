"""Permissions of every kind of key, and the seconds for which a revoked key is still accepted."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from random import Random
from unittest.mock import patch

import grpc

from commontrace.core.invalidation import Invalidation
from commontrace.core.keys import cache as key_cache
from commontrace.domain.caller import Caller
from commontrace.domain.keys.api_key import ApiKey
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.serving.bootstrap import Foundation
from commontrace.serving.server import serving
from commontrace.settings import Settings
from commontrace.storage.database import Database
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.contract.calls import call
from tests.contract.errors.error_promises import broken_promises
from tests.contract.errors.error_row import INFO, Row
from tests.contract.errors.key_error_rows import key_rows, make_keys, others_trace_rows
from tests.faults.harness.figure import Figure, Trial
from tests.support.builders import a_contribution
from tests.support.keys import a_key, bearer, revoke
from tests.support.prepared_data import copy_migrated

_EMBEDDER = LexicalEmbedder(64)
_ACCEPTED_SECONDS = 5.0
_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 8.0


async def measure_matrix(trial: Trial) -> list[Figure]:
    """Calls every RPC with every kind of wrong key, and for other people's traces."""
    # Unprotected, nobody looks at scopes.
    unprotected = patch.object(Caller, "require", lambda _caller, _scope: None)
    async with _database(trial.place) as database, AsyncExitStack() as servers:
        [address] = await _serve(database, servers, count=1)
        with nullcontext() if trial.protected else unprotected:
            async with grpc.aio.insecure_channel(address) as channel:
                keys = await make_keys(database)
                theirs = bearer(await a_key(database, "ada@example.org"))
                created = await TraceServiceStub(channel).CreateTrace(a_contribution(), metadata=theirs)
                rows = [*key_rows(keys), *others_trace_rows(created.created.id, keys.right)]
                Random(trial.seed).shuffle(rows)  # noqa: S311 - not a secret
                wrong = [broken async for broken in _broken(channel, rows)]
    return [
        Figure(
            name="every RPC with every kind of wrong key, or for another's trace: wrong code",
            target="0",
            measured=f"{len(wrong)} of {len(rows)} calls" + (f", such as {wrong[0]}" if wrong else ""),
            ok=not wrong,
        )
    ]


async def measure_revoked(trial: Trial) -> list[Figure]:
    """Revokes keys that three servers know, one of which does not hear of it, and waits for each to refuse."""
    forgetting = nullcontext() if trial.protected else patch.object(key_cache, "FRESH_SECONDS", 3600.0)
    with forgetting:
        async with _database(trial.place) as database, AsyncExitStack() as servers:
            hearing = await _serve(database, servers, count=2)
            with patch.object(Invalidation, "run", _hear_nothing):
                deaf = await _serve(database, servers, count=1)
            users = [f"user-{trial.seed}-{number}@example.org" for number in range(trial.times(30))]
            seconds = await asyncio.gather(*(_accepted_for(database, hearing + deaf, user) for user in users))
    told = max(longest for times in seconds for longest in times[: len(hearing)])
    untold = max(times[-1] for times in seconds)
    return [
        Figure(
            name="revoked key still accepted after",
            target=f"{_ACCEPTED_SECONDS:g} s",
            measured=f"{told:.2f} s, {untold:.2f} s where no notification arrives ({len(users)} keys)",
            ok=max(told, untold) <= _ACCEPTED_SECONDS,
        )
    ]


async def _accepted_for(database: Database, addresses: Sequence[str], user: str) -> list[float]:
    """Returns for how many seconds each server accepts a key after it was revoked; _PATIENCE_SECONDS if for longer."""
    key = await a_key(database, user)
    async with AsyncExitStack() as channels:
        opened = [await channels.enter_async_context(grpc.aio.insecure_channel(address)) for address in addresses]
        refused = [await call(channel, INFO, b"", bearer(key)) for channel in opened]
        assert refused == [None] * len(opened), "a live key was refused"
        await revoke(database, key.id)
        began = time.monotonic()
        return list(await asyncio.gather(*(_seconds_until_refused(channel, key, began) for channel in opened)))


async def _seconds_until_refused(channel: grpc.aio.Channel, key: ApiKey, began: float) -> float:
    while time.monotonic() < began + _PATIENCE_SECONDS:
        if await call(channel, INFO, b"", bearer(key)) is not None:
            return time.monotonic() - began
        await asyncio.sleep(_LOOK_SECONDS)
    return _PATIENCE_SECONDS


async def _hear_nothing(_invalidation: Invalidation) -> None:
    await asyncio.Event().wait()


async def _broken(channel: grpc.aio.Channel, rows: Iterable[Row]) -> AsyncIterator[str]:
    for row in rows:
        for broken in broken_promises(row, await call(channel, row.rpc, row.payload, row.metadata)):
            yield f"{row.rpc}, {row.name}: {broken}"


@asynccontextmanager
async def _database(place: Path) -> AsyncIterator[Database]:
    copy_migrated(place, dimensions=_EMBEDDER.dimensions)
    with embedded_postgres.start(place, version="18") as postgres:
        database = Database(postgres.url)
        yield database
        await database.close()


async def _serve(database: Database, servers: AsyncExitStack, *, count: int) -> list[str]:
    settings = Settings.model_validate({"listen_address": "127.0.0.1:0", "authentication": "keys"})
    foundation = Foundation(database=database, embedder=_EMBEDDER)
    return [await servers.enter_async_context(serving(settings, foundation)) for _ in range(count)]
