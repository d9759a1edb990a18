"""What a server needs of its monitoring, whether or not there is any: what is off is not even imported."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.served_model import ServedModel
from commontrace.rpc.call import CallObserver
from commontrace.settings import Settings
from commontrace.storage.database import Database

if TYPE_CHECKING:
    from commontrace.monitoring.metrics import Metrics


class Monitoring:
    """The metrics of the settings."""

    def __init__(self, settings: Settings) -> None:
        """Imports what the settings ask for."""
        self._metrics = _metrics_of(settings)

    @property
    def observers(self) -> list[CallObserver]:
        """Who hears of every call."""
        return [] if self._metrics is None else [self._metrics.calls]

    def observed(self, embedder: Embedder) -> Embedder:
        """Returns an embedder that does the same."""
        return embedder if self._metrics is None else self._metrics.measured(embedder)

    @contextmanager
    def running(
        self,
        *,
        database: Database,
        model: ServedModel,
        calls_in_progress: Callable[[], int],
        is_ready: Callable[[], bool],
    ) -> Iterator[list[Coroutine[Any, Any, None]]]:
        """Tells as long as the block runs; yields what has to run meanwhile. Raises NotReady."""
        if self._metrics is None:
            yield []
            return
        with self._metrics.exported(
            database=database, model=model, calls_in_progress=calls_in_progress, is_ready=is_ready
        ) as lasting:
            yield lasting


def _metrics_of(settings: Settings) -> "Metrics | None":
    if settings.metrics_address is None:
        return None
    from commontrace.monitoring.metrics import Metrics

    return Metrics(settings.metrics_address, recall_probe_seconds=settings.recall_probe_seconds)
