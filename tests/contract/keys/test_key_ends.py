"""Streams whose key ends before they do."""

import asyncio
from uuid import uuid4

import pytest

from commontrace.core.keys import cache as key_cache
from commontrace.storage.database import Database
from commontrace.v1.trace_event_pb2 import WatchTracesRequest
from tests.conftest import RunningServer, query
from tests.contract.callers import refused
from tests.contract.imports.imports import a_record, message
from tests.support.builders import a_contribution
from tests.support.keys import a_key, bearer, revoke
from tests.support.locks import held, until_waiting


async def test_a_stream_ends_when_its_key_does(
    keyed: RunningServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "FRESH_SECONDS", 0.1)
    watcher, writer = await a_key(database, "ada@example.org"), await a_key(database, "bob@example.org")
    watching = keyed.traces.WatchTraces(WatchTracesRequest(), metadata=bearer(watcher), timeout=20)
    messages = aiter(watching)
    await anext(messages)
    await asyncio.sleep(0.1)
    await keyed.traces.CreateTrace(a_contribution(1), metadata=bearer(writer))
    assert (await anext(messages)).events
    await revoke(database, watcher.id)
    await asyncio.sleep(0.1)
    await keyed.traces.CreateTrace(a_contribution(2), metadata=bearer(writer))
    async with refused("INVALID_KEY", problem="REVOKED"):
        await anext(messages)


async def test_a_message_that_was_received_before_its_key_ended_is_not_stored_after_it(
    keyed: RunningServer, database: Database, database_url: str
) -> None:
    key = await a_key(database, "ada@example.org")
    async with held(database_url, "LOCK TABLE import_items IN ACCESS EXCLUSIVE MODE"):
        stream = keyed.traces.ImportTraces(metadata=bearer(key), timeout=20)
        await stream.write(message([a_record(1)], import_id=str(uuid4())))
        await stream.write(message([a_record(2)], first=2))
        await until_waiting(database_url)
        await revoke(database, key.id)
        # So long the server may take to hear of it.
        await asyncio.sleep(0.2)
    async with refused("INVALID_KEY", problem="REVOKED"):
        await stream.read()
    assert await query(database_url, "SELECT count(*) FROM traces") == [(1,)]


async def test_an_import_on_which_nothing_comes_ends_with_its_key(
    keyed: RunningServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "FRESH_SECONDS", 0.1)
    key = await a_key(database, "ada@example.org")
    stream = keyed.traces.ImportTraces(metadata=bearer(key), timeout=20)
    await stream.write(message([a_record(1)], import_id=str(uuid4())))
    await stream.read()
    await revoke(database, key.id)
    async with refused("INVALID_KEY", problem="REVOKED"):
        await stream.read()
