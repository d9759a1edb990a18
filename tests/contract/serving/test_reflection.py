"""Reflection: what tools learn of the contract from a server."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

from tests.conftest import RunningServer
from tests.support.reflection import reflect

# Of the server that these tests share.
pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE_SERVICE = "commontrace.v1.TraceService"


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_describes_every_service_it_lists(shared_server: RunningServer, version: str) -> None:
    listed = await reflect(shared_server, version, reflection_pb2.ServerReflectionRequest(list_services=""))
    names = [service.name for service in listed.list_services_response.service]
    assert TRACE_SERVICE in names
    assert "grpc.health.v1.Health" in names
    for name in names:
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)
        described = await reflect(shared_server, version, request)
        assert described.file_descriptor_response.file_descriptor_proto


# By kind of symbol.
SYMBOLS = {
    "service": TRACE_SERVICE,
    "method": f"{TRACE_SERVICE}.SearchTraces",
    "message": "commontrace.v1.SearchTracesRequest",
    "field": "commontrace.v1.SearchTracesRequest.limit",
    "oneof": "commontrace.v1.SearchTracesRequest.query",
    "enum": "commontrace.v1.StopReason",
    "enum value": "commontrace.v1.STOP_REASON_LIMIT",
    "enum value below its enum": "commontrace.v1.StopReason.STOP_REASON_LIMIT",
    "extension": "commontrace.v1.required_scope",
    "another's method": "grpc.health.v1.Health.Watch",
    "nested enum": "grpc.health.v1.HealthCheckResponse.ServingStatus",
    "nested enum's value": "grpc.health.v1.HealthCheckResponse.SERVING",
    "reflection's method": "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo",
}


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize("kind", SYMBOLS)
async def test_reflection_finds_every_kind_of_symbol(shared_server: RunningServer, version: str, kind: str) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SYMBOLS[kind])
    files = (await reflect(shared_server, version, request)).file_descriptor_response.file_descriptor_proto
    described = FileDescriptorProto.FromString(files[0])
    assert SYMBOLS[kind].startswith(f"{described.package}.")
    name = SYMBOLS[kind].rpartition(".")[2]
    assert f'name: "{name}"' in str(described)


@pytest.mark.parametrize("symbol", ["", ".", "commontrace.v1", f"{TRACE_SERVICE}.Nope", f"{TRACE_SERVICE}.GetTrace.x"])
async def test_reflection_says_what_it_does_not_find(shared_server: RunningServer, symbol: str) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    answer = await reflect(shared_server, "v1", request)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_reflection_tells_extensions(shared_server: RunningServer) -> None:
    extended = "google.protobuf.MethodOptions"
    numbers = await reflect(
        shared_server, "v1", reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type=extended)
    )
    declared = sorted(numbers.all_extension_numbers_response.extension_number)
    for number, name in zip(declared, (b"required_scope", b"required_scope_of_moderators"), strict=True):
        wanted = reflection_pb2.ExtensionRequest(containing_type=extended, extension_number=number)
        answer = await reflect(
            shared_server, "v1", reflection_pb2.ServerReflectionRequest(file_containing_extension=wanted)
        )
        assert name in answer.file_descriptor_response.file_descriptor_proto[0]


async def test_tools_describe_and_call_by_reflection(shared_server: RunningServer) -> None:
    url = f"http://{shared_server.address}/{TRACE_SERVICE}/GetServiceInfo"
    curl = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("buf"), "curl", "--protocol", "grpc", url, stdout=PIPE
    )
    answer, _ = await curl.communicate()
    assert json.loads(answer)["embeddingModel"]
