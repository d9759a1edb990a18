"""Monitoring by the settings: parts that are off are not imported."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from commontrace.embeddings.active_model import ActiveModel
from commontrace.embeddings.embedder import Embedder
from commontrace.rpc.call import CallObserver
from commontrace.serving.not_ready import NotReady
from commontrace.settings import Settings
from commontrace.storage.database import Database

if TYPE_CHECKING:
    from commontrace.serving.monitoring.metrics import Metrics
    from commontrace.serving.monitoring.tracing import Tracing


class Monitoring:
    """The metrics and traces that the settings turn on. Raises NotReady where a package for them is not installed."""

    def __init__(self, settings: Settings) -> None:
        self._metrics = _metrics_of(settings)
        self._tracing = _tracing_of(settings)

    @property
    def observers(self) -> list[CallObserver]:
        """The observers of every call."""
        metrics = [] if self._metrics is None else [self._metrics.calls]
        return [*metrics, *([] if self._tracing is None else [self._tracing])]

    def observed(self, embedder: Embedder) -> Embedder:
        """Returns the embedder with metrics and traces."""
        if self._metrics is not None:
            embedder = self._metrics.measured(embedder)
        return embedder if self._tracing is None else self._tracing.traced(embedder)

    @contextmanager
    def running(
        self,
        *,
        database: Database,
        model: ActiveModel,
        calls_in_progress: Callable[[], int],
        is_ready: Callable[[], bool],
    ) -> Iterator[list[Coroutine[Any, Any, None]]]:
        """Exports as long as the block runs, and yields the loops to run meanwhile. Raises NotReady."""
        try:
            if self._metrics is None:
                yield []
                return
            with self._metrics.exported(
                database=database, model=model, calls_in_progress=calls_in_progress, is_ready=is_ready
            ) as loops:
                yield loops
        finally:
            if self._tracing is not None:
                self._tracing.close()


def _metrics_of(settings: Settings) -> "Metrics | None":
    if settings.metrics_address is None:
        return None
    from commontrace.serving.monitoring.metrics import Metrics

    return Metrics(settings.metrics_address, recall_probe_seconds=settings.recall_probe_seconds)


def _tracing_of(settings: Settings) -> "Tracing | None":
    if not settings.tracing:
        return None
    try:
        from commontrace.serving.monitoring.tracing import Tracing
    except ImportError as error:
        raise NotReady(f"TRACING needs {error.name}: pip install 'commontrace[otel]'") from error
    return Tracing()
