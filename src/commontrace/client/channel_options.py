"""Channel options: retry policy, load balancing, reconnection and keepalive (ADR 0014, ADR 0046)."""

import json

from commontrace.client.proxies import is_local
from commontrace.v1 import namespace_service_pb2, tag_service_pb2, trace_service_pb2, vote_service_pb2

SERVICES: tuple[str, ...] = tuple(
    service.full_name
    for contract in (trace_service_pb2, vote_service_pb2, tag_service_pb2, namespace_service_pb2)
    for service in contract.DESCRIPTOR.services_by_name.values()
)
"""The full names of all services of the contract."""

# The channel retries calls whose connection broke, including writes: a failed write may have been committed, but its
# request id makes the server execute it once. CANCELLED is how a server that shuts down answers a call that it has not
# read yet.
_RETRY_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": service} for service in SERVICES],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
}

# Round robin over all servers whose overall health (the empty service name) is SERVING: all but those that shut down. A
# server without its database stays in, because it answers calls with the reason. For a single server, health checks
# would decide nothing, and a proxy before it may not pass them.
_BALANCING_CONFIG = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}

_OPTIONS: list[tuple[str, str | int]] = [
    # gRPC retries no call that exceeds this buffer. The default of 256 KiB is a quarter of the largest request.
    ("grpc.per_rpc_retry_buffer_size", 2 << 20),
    # By default, gRPC reconnects after 1 s, and in the end every 120 s: too late for calls that wait.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Detects a dead connection within 40 s while calls are in progress. The server accepts no more frequent pings.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


def channel_options(address: str) -> list[tuple[str, str | int]]:
    """Returns the options of a channel to an address: HOST:PORT, or a gRPC target that may name several servers."""
    has_several_servers = "," in address or "/" in address
    config = _RETRY_CONFIG | _BALANCING_CONFIG if has_several_servers else _RETRY_CONFIG
    # Proxies of the environment apply to other machines only.
    proxies = ("grpc.enable_http_proxy", int(not is_local(address)))
    return [("grpc.service_config", json.dumps(config)), proxies, *_OPTIONS]
