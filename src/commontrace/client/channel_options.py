"""How a channel repeats calls and finds a server again."""

import json

from commontrace.client.proxies import is_local
from commontrace.v1 import tag_service_pb2, trace_service_pb2, vote_service_pb2

SERVICES: tuple[str, ...] = tuple(
    service.full_name
    for contract in (trace_service_pb2, vote_service_pb2, tag_service_pb2)
    for service in contract.DESCRIPTOR.services_by_name.values()
)
"""Every service of the contract, by its full name."""

# The channel itself repeats calls that broke, writes too: one that reports failure may have been committed, but it
# carries a request id, and the server carries it out once. A server that is stopping answers a call that it has not
# read yet with CANCELLED.
_RETRY_ALL = {
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

# Calls go to all servers whose health says SERVING under the empty name: to all but those that stop. A server without
# its database says why a call fails, so it is not left out. One server alone leaves nothing to choose, and what stands
# before it may refuse to be asked for health.
_SPREAD = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}

_OPTIONS: list[tuple[str, str | int]] = [
    # gRPC forgets, and so never repeats, what is larger than this; by default, a quarter of the largest request.
    ("grpc.per_rpc_retry_buffer_size", 2 << 20),
    # By default, gRPC looks for a lost server after 1 s, and in the end every 120 s: too late for calls that wait.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # While calls are under way, a connection that has gone without a word is noticed within 40 s instead of minutes.
    # The server takes no more frequent pings.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


def options(address: str) -> list[tuple[str, str | int]]:
    """Returns what a channel to the address takes: HOST:PORT, or a target of gRPC's that may name several servers."""
    names_several = "," in address or "/" in address
    config = _RETRY_ALL | _SPREAD if names_several else _RETRY_ALL
    # Of the environment, for what is elsewhere.
    proxies = ("grpc.enable_http_proxy", int(not is_local(address)))
    return [("grpc.service_config", json.dumps(config)), proxies, *_OPTIONS]
