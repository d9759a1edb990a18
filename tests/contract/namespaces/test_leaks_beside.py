"""Leaks beside the answers: metrics, the log, time."""

import statistics
import time
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from commontrace.embeddings.embedder import Embedder
from commontrace.v1 import namespace_service_pb2 as namespaces_pb
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.contract.callers import reason_of
from tests.contract.imports.imports import a_record, message
from tests.contract.namespaces.parties import WALLED, Parties, parties
from tests.contract.namespaces.world import Gateway, gateway, tagged
from tests.contract.serving.test_metrics import answered
from tests.support.keys import Metadata

_CALLS, _DIFFERENCE, _ATTEMPTS = 2_000, 0.05, 3


async def test_neither_metrics_nor_the_log_name_a_namespace(database_url: str, embedder: Embedder) -> None:
    with capture_logs() as lines:
        async with (
            gateway(database_url, embedder, metrics_address="127.0.0.1:0") as served,
            parties(served) as both,
        ):
            secret = await both.secret(1, tags=["hidden-tag"])
            await _many_calls(both, secret)
            [address] = [line["address"] for line in lines if line["event"] == "metrics are exported"]
            _, metrics = await answered(address, "/metrics")
    told = metrics + "".join(f"{line}\n" for line in lines)
    for word in (WALLED, secret.id, "Trace number", "hidden-tag"):
        assert word not in told, [line for line in told.splitlines() if word in line]


async def _many_calls(both: Parties, secret: trace_pb2.Trace) -> None:
    """Calls that succeed, that are refused, and that fail in a stream."""
    for key in (both.insider, both.outsider, both.root):
        await reason_of(both.gateway.traces.GetTrace(pb.GetTraceRequest(trace_id=secret.id), metadata=key))
        await reason_of(both.create(3, key, namespace=WALLED))
        request = namespaces_pb.GetNamespaceRequest(name=WALLED)
        await reason_of(both.gateway.namespaces.GetNamespace(request, metadata=key))
        searched = pb.SearchTracesRequest(text="a problem", filter=tagged("namespaces", WALLED))
        await reason_of(_drained(both.gateway.traces.SearchTraces(searched, metadata=key)))
        imported = message([a_record(1, namespace=WALLED)], import_id=str(uuid4()))
        await reason_of(_drained(both.gateway.traces.ImportTraces(iter([imported]), metadata=key)))
    await both.expel()


async def _drained(stream: Any) -> None:
    async for _ in stream:
        pass


@pytest.mark.slow
async def test_an_unknown_and_a_forbidden_id_take_the_same_time(both: Parties) -> None:
    secret = await both.secret(1)
    for number in range(30):
        await both.secret(number + 2)
    differences = []
    for _ in range(_ATTEMPTS):
        differences.append(await _difference(both.gateway, secret.id, both.outsider))
        if differences[-1] < _DIFFERENCE:
            break
    assert min(differences) < _DIFFERENCE, differences


async def _difference(server: Gateway, forbidden: str, key: Metadata) -> float:
    """How much longer one takes than the other, as a share: medians of calls that alternate."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for number in range(_CALLS):
        is_forbidden = number % 2 == 0
        request = pb.GetTraceRequest(trace_id=forbidden if is_forbidden else str(uuid4()))
        begun = time.perf_counter()
        reason = await reason_of(server.traces.GetTrace(request, metadata=key))
        seconds[is_forbidden].append(time.perf_counter() - begun)
        assert reason == "TRACE_NOT_FOUND"
    one, other = (statistics.median(taken) for taken in seconds.values())
    return abs(one - other) / min(one, other)
