"""Calls with API keys: whose they are, what they may, how long they last, and what a lost database does to them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from structlog.testing import capture_logs

from commontrace.core.keys import cache as key_cache
from commontrace.core.keys import service as key_service
from commontrace.domain.errors import TooManyKeys
from commontrace.domain.keys.api_key import ApiKey
from commontrace.domain.scopes import EVERYTHING, Scope
from commontrace.storage.database import Database
from commontrace.storage.postgres_url import parse_postgres_url
from commontrace.v1 import options_pb2
from commontrace.v1 import trace_import_pb2 as imports_pb
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.error_reason_pb2 import ErrorReason
from tests.conftest import RunningServer, ServerFactory, administer, query, server_settings, url_of
from tests.contract.callers import ADA, reason_of, refused
from tests.contract.calls import call
from tests.contract.errors.error_promises import broken_promises
from tests.contract.errors.key_error_rows import key_rows, make_keys
from tests.contract.imports.imports import a_record, message
from tests.support.builders import a_contribution
from tests.support.keys import a_key, bearer, revoke

# Of a database of the test's own.
_END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
INFO = pb.GetServiceInfoRequest()


async def test_a_key_says_who_calls_and_what_they_may(keyed: RunningServer, database: Database) -> None:
    key = await a_key(database, "ada@example.org", {Scope.TRACES_READ, Scope.TAGS_WRITE})
    for metadata in (bearer(key), (*bearer(key), *ADA), (("authorization", f"bearer  {key.text}"),)):
        caller = (await keyed.traces.GetServiceInfo(INFO, metadata=metadata)).caller
        assert caller.email == "ada@example.org"
        assert caller.user_id
        assert list(caller.scopes) == [options_pb2.SCOPE_TRACES_READ, options_pb2.SCOPE_TAGS_WRITE]
    async with refused("SCOPE_MISSING", scope="traces:write"):
        await keyed.traces.CreateTrace(a_contribution(), metadata=bearer(key))


async def test_a_server_that_asks_for_no_key_takes_one(server: RunningServer, database: Database) -> None:
    key = await a_key(database, "ada@example.org", {Scope.TRACES_READ})
    caller = (await server.traces.GetServiceInfo(INFO, metadata=bearer(key))).caller
    assert (caller.email, list(caller.scopes)) == ("ada@example.org", [options_pb2.SCOPE_TRACES_READ])


async def test_a_key_ends_when_it_expires(keyed: RunningServer, database: Database) -> None:
    key = await a_key(database, "ada@example.org", expires_in=timedelta(seconds=1))
    assert await reason_of(keyed.traces.GetServiceInfo(INFO, metadata=bearer(key))) == "OK"
    await asyncio.sleep(1.0)
    async with refused("INVALID_KEY", problem="EXPIRED"):
        await keyed.traces.GetServiceInfo(INFO, metadata=bearer(key))


async def test_the_rows_of_every_rpc(keyed: RunningServer, database: Database) -> None:
    keys = await make_keys(database)
    failures = [
        f"{row.rpc}, {row.name}: {broken}"
        for row in key_rows(keys)
        for broken in broken_promises(row, await call(keyed.channel, row.rpc, row.payload, row.metadata))
    ]
    assert failures == []


async def test_what_only_the_service_makes_is_imported_with_a_scope_of_its_own(
    keyed: RunningServer, database: Database
) -> None:
    records = [a_record(1), a_record(2, id=str(uuid4())), a_record(3, create_time=Timestamp(seconds=1))]
    import_id = str(uuid4())
    for scopes, expected in (
        (EVERYTHING - {Scope.TRACES_IMPORT}, ["OK", "SCOPE_MISSING", "SCOPE_MISSING"]),
        (EVERYTHING, ["OK", "OK", "OK"]),
    ):
        key = await a_key(database, "ada@example.org", scopes)
        stream = keyed.traces.ImportTraces(iter([message(records, import_id=import_id)]), metadata=bearer(key))
        [acknowledgement] = [response async for response in stream]
        assert [_reason(result) for result in acknowledgement.results] == expected


async def test_a_lost_database_refuses_nobody_for_good(
    keyed: RunningServer, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_cache, "FRESH_SECONDS", 1.0)
    key = bearer(await a_key(database, "ada@example.org"))
    invalid = pb.CreateTraceRequest()
    assert await reason_of(keyed.traces.CreateTrace(invalid, metadata=key)) == "FIELD_REQUIRED"
    async with no_connections(database_url):
        # The key is known for a while; then nobody can say whose it is, which is not the caller's fault.
        assert await reason_of(keyed.traces.CreateTrace(invalid, metadata=key)) == "FIELD_REQUIRED"
        await asyncio.sleep(1.0)
        assert await reason_of(keyed.traces.CreateTrace(invalid, metadata=key)) == "DATABASE_UNAVAILABLE"
    assert await reason_of(keyed.traces.CreateTrace(invalid, metadata=key)) == "FIELD_REQUIRED"


async def test_the_last_use_is_remembered(start_server: ServerFactory, database: Database, database_url: str) -> None:
    used, unused = await a_key(database, "ada@example.org"), await a_key(database, "bob@example.org")
    with capture_logs() as lines:
        async with start_server(settings=server_settings(authentication="keys")) as running:
            await running.traces.GetServiceInfo(INFO, metadata=bearer(used))
    assert [line["key_id"] for line in lines if "call_id" in line] == [str(used.id)]
    noted = await query(database_url, "SELECT id, last_used_at IS NOT NULL FROM api_keys")
    assert set(noted) == {(used.id, True), (unused.id, False)}


async def test_a_user_has_two_live_keys_at_most_however_many_ask_at_once(database: Database) -> None:
    await a_key(database, "ada@example.org", expires_in=timedelta(0))
    outcomes = await asyncio.gather(*(a_key(database, "ada@example.org") for _ in range(5)), return_exceptions=True)
    made = [outcome for outcome in outcomes if isinstance(outcome, ApiKey)]
    assert len(made) == 2
    assert all(isinstance(outcome, TooManyKeys) for outcome in outcomes if outcome not in made)
    await revoke(database, made[0].id)
    await a_key(database, "ada@example.org")


async def test_a_rotated_key_goes_on_for_the_overlap(keyed: RunningServer, database: Database) -> None:
    old = await a_key(database, "ada@example.org", {Scope.TRACES_READ})
    async with database.unit_of_work() as work:
        new = await key_service.rotate(old.id, work, overlap=timedelta(seconds=1))
    infos = [await keyed.traces.GetServiceInfo(INFO, metadata=bearer(key)) for key in (old, new)]
    assert infos[0].caller == infos[1].caller
    await asyncio.sleep(1.0)
    async with refused("INVALID_KEY", problem="EXPIRED"):
        await keyed.traces.GetServiceInfo(INFO, metadata=bearer(old))
    await keyed.traces.GetServiceInfo(INFO, metadata=bearer(new))


@asynccontextmanager
async def no_connections(url: str) -> AsyncIterator[None]:
    """A database that takes nobody in, and throws out who is."""
    name = parse_postgres_url(url).database
    await administer(url_of(url, "postgres"), f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await administer(url_of(url, "postgres"), _END_ALL.format(name))
    yield
    await administer(url_of(url, "postgres"), f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def _reason(result: imports_pb.ImportResult) -> str:
    if not result.HasField("error"):
        return "OK"
    return ErrorReason.Name(result.error.reason).removeprefix("ERROR_REASON_")
