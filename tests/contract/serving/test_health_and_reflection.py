import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from commontrace.domain.keys.api_key import new_key
from commontrace.rpc import services
from commontrace.rpc.scopes import ScopeUndeclared, required_scopes
from commontrace.serving import process_limits
from commontrace.storage.database import Database
from commontrace.v1.trace_service_pb2 import GetServiceInfoRequest
from tests.conftest import RunningServer, ServerFactory, administer, server_settings
from tests.contract.callers import reason_of
from tests.support.builders import health_of
from tests.support.keys import bearer
from tests.support.locks import held
from tests.support.reflection import reflect

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
TRACE_SERVICE = "commontrace.v1.TraceService"


async def test_serving_from_the_first_moment(server: RunningServer) -> None:
    assert await health_of(server.channel, "") == SERVING
    assert await health_of(server.channel, TRACE_SERVICE) == SERVING


async def test_an_unknown_service_is_not_found(server: RunningServer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await health_of(server.channel, "commontrace.v1.Nonsense")
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND


async def test_every_service_is_listed_with_its_status(server: RunningServer) -> None:
    method: Any = server.channel.unary_unary(
        "/grpc.health.v1.Health/List",
        response_deserializer=health_pb2.HealthListResponse.FromString,  # type: ignore[attr-defined] # newer than its types
    )
    listed = (await method(b"")).statuses
    assert {name: listed[name].status for name in listed} == dict.fromkeys(["", *services.NAMES], SERVING)


async def test_readiness_follows_the_database_and_liveness_does_not(
    server: RunningServer, postgres_url: str, database_url: str
) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    await administer(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await administer(postgres_url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608 - a name of our own
    await turns(server, NOT_SERVING)
    assert await health_of(server.channel, "") == SERVING
    await administer(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await turns(server, SERVING)


async def test_health_is_answered_while_many_unknown_keys_are_looked_up(
    start_server: ServerFactory, database_url: str
) -> None:
    database, info = Database(database_url), GetServiceInfoRequest()
    async with start_server(settings=server_settings(authentication="keys"), database=database) as running:
        async with held(database_url, "LOCK TABLE api_keys"):
            strangers = [
                asyncio.create_task(reason_of(running.traces.GetServiceInfo(info, metadata=bearer(new_key()))))
                for _ in range(50)
            ]
            # Longer than the timeout of a health check, and the callers with unknown keys wait.
            for _ in range(15):
                assert await health_of(running.channel, TRACE_SERVICE) == SERVING
                await asyncio.sleep(0.1)
        assert set(await asyncio.gather(*strangers)) <= {"OVERLOADED", "INVALID_KEY", "DATABASE_UNAVAILABLE"}
    await database.close()


async def turns(server: RunningServer, status: int) -> None:
    async with asyncio.timeout(3):
        while await health_of(server.channel, TRACE_SERVICE) != status:  # noqa: ASYNC110 - the server's event is not ours
            await asyncio.sleep(0.05)


async def test_reflection_can_be_turned_off(start_server: ServerFactory) -> None:
    async with start_server(settings=server_settings(reflection=False)) as server:
        for version in ("v1", "v1alpha"):
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await reflect(server, version, reflection_pb2.ServerReflectionRequest(list_services=""))
            assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_unknown_methods_are_unimplemented(server: RunningServer) -> None:
    for path in ("/commontrace.v1.TraceService/Nope", "/commontrace.v1.Nope/GetTrace", "/x/y"):
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await server.channel.unary_unary(path, request_serializer=bytes)(b"")
        assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_an_rpc_without_a_scope_keeps_the_server_from_starting() -> None:
    with pytest.raises(ScopeUndeclared, match=r"grpc\.health\.v1\.Health\.Check"):
        required_scopes(health_pb2.DESCRIPTOR)


async def test_connections_beyond_the_bound_are_closed_at_once(
    start_server: ServerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_limits, "connections_to_serve", lambda: 1)
    async with start_server() as running:
        assert await health_of(running.channel, "") == SERVING
        own = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        async with grpc.aio.insecure_channel(running.address, own) as another:
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await health_of(another, "")
            assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await health_of(running.channel, "") == SERVING
