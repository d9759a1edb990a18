"""Health checks by grpc.health.v1, which cost the server no database query."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from commontrace.client import CallFailed, NotFound, Tls, TlsFailed
from commontrace.client.sync.calls import open_channel
from commontrace.v1 import trace_service_pb2

PACKAGE = trace_service_pb2.DESCRIPTOR.package
SERVING = "SERVING"
UNKNOWN = "SERVICE_UNKNOWN"
UNREACHABLE = "UNREACHABLE"


@dataclass(kw_only=True, slots=True)
class Health:
    """Status by service: a name of grpc.health.v1's ServingStatus, or UNREACHABLE; and the failure of TLS, if any."""

    services: dict[str, str] = field(default_factory=dict)
    tls_failed: TlsFailed | None = None


def check_health(address: str, services: Sequence[str], *, seconds: float, tls: Tls | None) -> Health:
    """Checks all services at once, within so many seconds. Raises ValueError where files of `tls` cannot be used.

    Services that an older server does not know are left out, unless it knows none of them.
    """
    health = Health()
    with open_channel(address, tls) as channel:
        calls: Any = health_pb2_grpc.HealthStub(channel)
        checks = {
            service: calls.Check.future(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
            for service in services
        }
        for service, answer in checks.items():
            try:
                health.services[service] = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.result().status)
            except grpc.RpcError as error:
                failure = CallFailed.from_rpc_error(error, address=address, uses_tls=tls is not None)
                health.services[service] = UNKNOWN if isinstance(failure, NotFound) else UNREACHABLE
                if isinstance(failure, TlsFailed):
                    health.tls_failed = failure
    health.services = {name: status for name, status in health.services.items() if status != UNKNOWN} or health.services
    return health
