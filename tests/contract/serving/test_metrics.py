import asyncio
import re
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from commontrace.embeddings.embedder import Embedder
from commontrace.serving.not_ready import NotReady
from commontrace.storage.database import Database
from commontrace.storage.postgres_url import parse_postgres_url
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, ServerFactory, server_settings
from tests.integration.repository.test_monitoring_files import PAGE, metrics_asked_for
from tests.support.builders import a_contribution, search
from tests.support.told_embedder import ToldEmbedder, away

PRIVATE = "xyzzy-that-nobody-should-read"
Figures = dict[tuple[str, frozenset[str]], float]


@asynccontextmanager
async def exporting(start_server: ServerFactory, **parts: Any) -> AsyncIterator[tuple[RunningServer, str]]:
    """A server, and the address of its metrics."""
    with capture_logs() as lines:
        async with start_server(settings=server_settings(metrics_address="127.0.0.1:0"), **parts) as server:
            [address] = [line["address"] for line in lines if line["event"] == "metrics are exported"]
            yield server, address


async def answered(address: str, path: str) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


async def figures(address: str) -> Figures:
    """Every sample by its name and the values of its labels."""
    _, text = await answered(address, "/metrics")
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_calls_encodings_pools_and_the_queue_are_counted(start_server: ServerFactory, embedder: Embedder) -> None:
    told = ToldEmbedder(embedder)
    async with exporting(start_server, embedder=told) as (server, address):
        await server.traces.CreateTrace(a_contribution(title=PRIVATE, tags=[PRIVATE]))
        for _ in range(3):
            await search(server.traces, text=PRIVATE)
        with pytest.raises(grpc.aio.AioRpcError):
            await server.traces.GetTrace(pb.GetTraceRequest(trace_id=str(UUID(int=0))))
        told.answer = away
        with pytest.raises(grpc.aio.AioRpcError):
            await search(server.traces, text="something else")
        # A held connection is counted.
        async with server.database.unit_of_work() as work:
            await work.users.get_or_create("ada@example.org")
            assert (await figures(address))["commontrace_pool_in_use", frozenset(["writes"])] == 1
        found = await figures(address)
        assert await answered(address, "/healthz") == (200, "ready\n")
        status, text = await answered(address, "/metrics")
    assert status == 200
    assert PRIVATE not in text
    assert "commontrace.dev" not in text
    for (name, *labels), value in {
        ("commontrace_rpc_duration_seconds_count", "TraceService/SearchTraces", "OK"): 3,
        ("commontrace_rpc_duration_seconds_count", "TraceService/CreateTrace", "OK"): 1,
        ("commontrace_rpc_duration_seconds_count", "TraceService/GetTrace", "NOT_FOUND"): 1,
        ("commontrace_rpc_failures_total", "TraceService/GetTrace", "NOT_FOUND", "TRACE_NOT_FOUND"): 1,
        ("commontrace_rpc_failures_total", "TraceService/SearchTraces", "UNAVAILABLE", "EMBEDDER_UNAVAILABLE"): 1,
        ("commontrace_rpcs_in_progress",): 0,
        ("commontrace_encoding_duration_seconds_count",): 2,
        ("commontrace_encoding_failures_total",): 1,
        ("commontrace_encodings_in_progress",): 0,
        ("commontrace_query_cache_hits_total",): 2,
        ("commontrace_query_cache_misses_total",): 2,
        ("commontrace_encoding_queue_waiting",): 0,
        ("commontrace_encoding_queue_given_up",): 0,
        ("commontrace_pool_size", "searches"): 10,
        ("commontrace_pool_in_use", "writes"): 0,
        ("commontrace_pool_waiting", "reads"): 0,
        ("commontrace_ready",): 1,
    }.items():
        assert (name, found[name, frozenset(labels)]) == (name, value)
    assert found["commontrace_pool_open", frozenset(["searches"])] >= 1
    assert found["process_resident_memory_bytes", frozenset()] > 0
    assert not [name for name, _ in found if name.endswith("_created")]
    exported = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, flags=re.MULTILINE))
    stored = {*exported, *(f"{name}{part}" for name in exported for part in ("_bucket", "_count", "_sum")), "up"}
    assert metrics_asked_for() - stored == set()
    ours = {name: kind for name, kind in exported.items() if name.startswith("commontrace_")}
    assert dict(re.findall(r"^\| `(commontrace_\w+)` \| (\w+) \|", PAGE, flags=re.MULTILINE)) == ours


async def test_probes_over_http_follow_the_health(start_server: ServerFactory, database_url: str) -> None:
    nowhere = parse_postgres_url(database_url).set(host="127.0.0.1", port=1, query={})
    database = Database(nowhere.render_as_string(hide_password=False))
    async with exporting(start_server, database=database) as (_, address):
        assert await answered(address, "/healthz") == (503, "not ready\n")
        assert (await answered(address, "/anything"))[0] == 404
        found = {name: value for (name, _), value in (await figures(address)).items()}
        assert found["commontrace_ready"] == 0
        # Unknown figures have no value, rather than 0.
        assert not found.keys() & {"commontrace_encoding_queue_waiting", "commontrace_recall_at_10"}
        with pytest.raises(NotReady, match=re.escape(address)):
            async with start_server(settings=server_settings(metrics_address=address)):
                pass
    await database.close()
