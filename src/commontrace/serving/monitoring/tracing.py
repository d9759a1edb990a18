"""OpenTelemetry traces: a span for every call, and one below it for each encoding. Never a text, never a caller."""

import threading
from collections.abc import Sequence
from contextvars import ContextVar

import grpc
from opentelemetry.context import Context, attach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from commontrace import __version__
from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.rpc.call import Call, Metadata
from commontrace.serving.monitoring.wrapped_embedder import WrappedEmbedder

_FLUSH_SECONDS = 2.0

_PACKAGE = "commontrace.v1."
_PARENT = ("traceparent", "tracestate")

# Other codes are faults of the caller.
_SERVER_FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}

_span: ContextVar[Span] = ContextVar("call_span")


class Tracing:
    """Exports spans over OTLP/HTTP, in a thread. OpenTelemetry's own variables set endpoint, sampling and name."""

    def __init__(self) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("commontrace", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def begun(self, call: Call, metadata: Metadata) -> None:
        """Starts the call's span, below the caller's if the metadata name one."""
        parent = self._propagator.extract({key: value for key, value in metadata if key in _PARENT}, Context())
        method = _PACKAGE + call.method
        span = self._tracer.start_span(
            method,
            context=parent,
            kind=SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": method, "commontrace.call_id": call.id},
        )
        _span.set(span)
        # Makes it the current span. Never detached: each call is a task, whose context ends with it.
        attach(set_span_in_context(span))

    def ended(self, call: Call, seconds: float) -> None:  # noqa: ARG002 - spans have clocks of their own
        """Ends the span with the final code."""
        span = _span.get()
        span.set_attribute("rpc.response.status_code", call.code.name)
        if call.code is not grpc.StatusCode.OK:
            span.set_attribute("error.type", call.reason or call.code.name)
        if call.code in _SERVER_FAULTS:
            span.set_status(StatusCode.ERROR)
        span.end()

    def traced(self, embedder: Embedder) -> Embedder:
        """Returns the embedder with a span for each encoding."""
        return _TracedEmbedder(embedder, self._tracer)

    def close(self) -> None:
        """Exports the remaining spans, for two seconds at most: a dead collector would take 20 s."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(_FLUSH_SECONDS)


class _TracedEmbedder(WrappedEmbedder):
    def __init__(self, embedder: Embedder, tracer: Tracer) -> None:
        super().__init__(embedder)
        self._tracer = tracer

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        attributes: dict[str, str | int] = {"commontrace.texts": len(texts), "commontrace.model": self.model_id}
        # Without the exception, whose message may repeat a text.
        with self._tracer.start_as_current_span(
            "encode", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                return await self.inner.encode(texts)
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise


def _resource() -> Resource:
    resource = Resource.create({SERVICE_VERSION: __version__})
    # A name given here would win over OTEL_SERVICE_NAME.
    is_named = not str(resource.attributes[SERVICE_NAME]).startswith("unknown_service")
    return resource if is_named else resource.merge(Resource({SERVICE_NAME: "commontrace"}))
