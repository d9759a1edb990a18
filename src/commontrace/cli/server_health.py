"""Asking a server for its health, which costs neither the client nor a database query."""

from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from commontrace.v1 import trace_service_pb2

PACKAGE = trace_service_pb2.DESCRIPTOR.package
SERVING = "SERVING"
UNKNOWN = "SERVICE_UNKNOWN"
UNREACHABLE = "UNREACHABLE"


def ask(address: str, services: Sequence[str], *, seconds: float) -> dict[str, str]:
    """Returns the health of each service: a name of grpc.health.v1's ServingStatus, or UNREACHABLE."""
    found: dict[str, str] = {}
    with grpc.insecure_channel(address) as channel:
        calls: Any = health_pb2_grpc.HealthStub(channel)
        asked = {
            service: calls.Check.future(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
            for service in services
        }
        for service, answer in asked.items():
            try:
                found[service] = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.result().status)
            except grpc.RpcError as error:
                is_unknown = isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.NOT_FOUND
                found[service] = UNKNOWN if is_unknown else UNREACHABLE
    return found
