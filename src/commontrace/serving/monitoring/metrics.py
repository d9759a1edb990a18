"""Prometheus metrics of one server process."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, disable_created_metrics

from commontrace.embeddings.active_model import ActiveModel
from commontrace.embeddings.embedder import Embedder
from commontrace.serving.monitoring.call_metrics import CallMetrics
from commontrace.serving.monitoring.listener import serve_metrics
from commontrace.serving.monitoring.measured_embedder import EncoderMetrics, MeasuredEmbedder
from commontrace.serving.monitoring.queue_watch import QueueWatch
from commontrace.serving.monitoring.recall_probe import RecallProbe
from commontrace.serving.monitoring.state_collector import StateCollector
from commontrace.storage.database import Database

log = structlog.get_logger()


class Metrics:
    """The metrics, and their endpoint. `recall_probe_seconds` is the time between two probes of the vector index."""

    def __init__(self, address: str, *, recall_probe_seconds: float) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library has no types
        self._address = address
        self._recall_probe_seconds = recall_probe_seconds
        # Not the global registry: tests run several servers in one process.
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self.calls = CallMetrics(self._registry)
        self._encoder = EncoderMetrics(self._registry)

    def measured(self, embedder: Embedder) -> Embedder:
        """Returns the embedder with metrics."""
        return MeasuredEmbedder(embedder, self._encoder)

    @contextmanager
    def exported(
        self,
        *,
        database: Database,
        model: ActiveModel,
        calls_in_progress: Callable[[], int],
        is_ready: Callable[[], bool],
    ) -> Iterator[list[Coroutine[Any, Any, None]]]:
        """Exports the metrics as long as the block runs, and yields the loops to run meanwhile. Raises NotReady."""
        queue = QueueWatch(database)
        recall = RecallProbe(database, lambda: model.info, period_seconds=self._recall_probe_seconds)
        self._registry.register(
            StateCollector(
                pools=lambda: database.pools,
                calls_in_progress=calls_in_progress,
                is_ready=is_ready,
                model=model,
                queue=queue,
                recall=recall,
            )
        )
        with serve_metrics(self._address, self._registry, is_ready=is_ready) as address:
            log.info("metrics are exported", address=address)
            yield [queue.run(), recall.run()]
