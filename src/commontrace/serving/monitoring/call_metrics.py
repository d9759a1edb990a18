"""Metrics of calls: counts, outcomes and durations."""

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram

from commontrace.rpc.call import Call, Metadata

# Seconds. A search takes some milliseconds; deadlines end most calls before 30 s.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class CallMetrics:
    """Counts every finished call by method and code, of which there are few; never by caller, tag or text."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._durations = Histogram(
            "commontrace_rpc_duration_seconds",
            "Calls by method and final gRPC code, and how long they took until their last message was sent.",
            ("method", "code"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._failures = Counter(
            "commontrace_rpc_failures",
            "Calls that failed with a reason of the contract, by method, gRPC code and reason.",
            ("method", "code", "reason"),
            registry=registry,
        )
        # Cached: looking up a child by its labels costs as much as counting.
        self._bound: dict[tuple[str, grpc.StatusCode], Histogram] = {}

    def begun(self, call: Call, metadata: Metadata) -> None:
        """Does nothing: a call is counted when it ends."""

    def ended(self, call: Call, seconds: float) -> None:
        """Counts the call and its duration."""
        key = (call.method, call.code)
        durations = self._bound.get(key)
        if durations is None:
            durations = self._bound[key] = self._durations.labels(call.method, call.code.name)
        durations.observe(seconds)
        if call.reason:
            self._failures.labels(call.method, call.code.name, call.reason).inc()
