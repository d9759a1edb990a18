"""Metrics of encodings, and the embedder that is measured."""

import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.serving.monitoring.wrapped_embedder import WrappedEmbedder

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64)


class EncoderMetrics:
    """The metrics of encodings. An encoding is one request to the embedder, for one text or several."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "commontrace_encoding_duration_seconds",
            "Encodings that succeeded, and how long they took, waiting for the encoder included.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.texts = Histogram(
            "commontrace_encoding_texts", "Texts of one encoding.", buckets=_TEXTS, registry=registry
        )
        self.failures = Counter(
            "commontrace_encoding_failures", "Encodings that failed; cancelled ones do not count.", registry=registry
        )
        self.in_progress = Gauge(
            "commontrace_encodings_in_progress", "Encodings that are waited for now.", registry=registry
        )


class MeasuredEmbedder(WrappedEmbedder):
    """An embedder that counts its encodings and measures their durations."""

    def __init__(self, embedder: Embedder, metrics: EncoderMetrics) -> None:
        super().__init__(embedder)
        self._metrics = metrics

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        """Returns and raises what the inner embedder does."""
        metrics = self._metrics
        started = time.perf_counter()
        metrics.texts.observe(len(texts))
        with metrics.in_progress.track_inprogress():
            try:
                embeddings = await self.inner.encode(texts)
            except Exception:
                metrics.failures.inc()
                raise
        metrics.seconds.observe(time.perf_counter() - started)
        return embeddings
