"""Questions to the reflection of a server."""

from typing import Any

from grpc_reflection.v1alpha import reflection_pb2

from tests.conftest import RunningServer


async def reflect(
    server: RunningServer, version: str, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    call: Any = server.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    stream = call(iter([request]))
    response: reflection_pb2.ServerReflectionResponse = await stream.read()
    stream.cancel()
    return response
