"""Spans as an OpenTelemetry collector receives them, over OTLP."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from commontrace.embeddings.embedder import Embedder
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import ServerFactory, server_settings
from tests.support.builders import a_contribution, search
from tests.support.told_embedder import ToldEmbedder, refusing

PRIVATE = "xyzzy-that-nobody-should-read"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@contextmanager
def collecting() -> Iterator[tuple[str, list[bytes]]]:
    """An OTLP/HTTP endpoint, and the spans that it received."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                received.append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base class has the name

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def attributes_of(span: Span) -> dict[str, str | int]:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


async def test_a_span_a_call_below_that_of_its_caller(
    start_server: ServerFactory, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ToldEmbedder(embedder)
    told.answer = refusing("unreadable")
    with collecting() as (endpoint, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        async with start_server(settings=server_settings(tracing=True), embedder=told) as server:
            metadata = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-request-id", "turn-17"))
            await server.traces.CreateTrace(a_contribution(title=PRIVATE, tags=[PRIVATE]), metadata=metadata)
            with pytest.raises(grpc.aio.AioRpcError):
                await server.traces.GetTrace(pb.GetTraceRequest(trace_id="none"))
            with pytest.raises(grpc.aio.AioRpcError):
                await search(server.traces, text=f"unreadable {PRIVATE}")
    batches = [ExportTraceServiceRequest.FromString(body) for body in received]
    [resource] = [resource for batch in batches for resource in batch.resource_spans]
    assert "commontrace" in {item.value.string_value for item in resource.resource.attributes}
    spans = [span for scope in resource.scope_spans for span in scope.spans]
    create, encode, get, found_nothing, failed = (
        next(span for span in spans if span.name == name and (span.status.code == Status.STATUS_CODE_ERROR) is is_error)
        for name, is_error in (
            ("commontrace.v1.TraceService/CreateTrace", False),
            ("encode", False),
            ("commontrace.v1.TraceService/GetTrace", False),
            ("encode", True),
            ("commontrace.v1.TraceService/SearchTraces", True),
        )
    )
    assert len(spans) == 5
    assert (create.trace_id.hex(), create.parent_span_id.hex()) == (TRACE, PARENT)
    assert (encode.trace_id.hex(), encode.parent_span_id) == (TRACE, create.span_id)
    assert found_nothing.parent_span_id == failed.span_id
    assert create.kind == Span.SPAN_KIND_SERVER
    assert attributes_of(create) == {
        "rpc.system.name": "grpc",
        "rpc.method": "commontrace.v1.TraceService/CreateTrace",
        "rpc.response.status_code": "OK",
        "commontrace.call_id": "turn-17",
    }
    assert get.parent_span_id == b""
    assert attributes_of(get)["error.type"] == "MALFORMED_ID"
    assert attributes_of(failed)["rpc.response.status_code"] == "INTERNAL"
    assert PRIVATE.encode() not in b"".join(received)
    assert b"commontrace.dev" not in b"".join(received)


def test_monitoring_that_is_off_is_not_imported() -> None:
    off = ("prometheus_client", "opentelemetry")
    code = f"import sys, commontrace.serving.server; print([n for n in {off} if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
