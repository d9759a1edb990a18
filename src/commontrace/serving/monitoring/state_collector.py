"""Metrics of state, read at the time of a scrape."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from commontrace import __version__
from commontrace.embeddings.active_model import ActiveModel
from commontrace.serving.monitoring.queue_watch import QueueWatch
from commontrace.serving.monitoring.recall_probe import RecallProbe
from commontrace.serving.standard_streams import dropped_lines
from commontrace.storage.pool_limiter import PoolState


class StateCollector(Collector):
    """Collects the state of the server. Runs in the thread of the scrape: it reads single numbers, which is safe."""

    def __init__(
        self,
        *,
        pools: Callable[[], Iterable[PoolState]],
        calls_in_progress: Callable[[], int],
        is_ready: Callable[[], bool],
        model: ActiveModel,
        queue: QueueWatch,
        recall: RecallProbe,
    ) -> None:
        self._pools = pools
        self._calls_in_progress = calls_in_progress
        self._is_ready = is_ready
        self._model = model
        self._queue = queue
        self._recall = recall

    def collect(self) -> Iterator[Metric]:
        """Yields every metric. An unknown one has a name without a value, not 0."""
        yield GaugeMetricFamily(
            "commontrace_ready", "1 while the services are SERVING, else 0.", float(self._is_ready())
        )
        facts = self._model.info
        build = GaugeMetricFamily(
            "commontrace_build_info",
            "Always 1: the server's version, and the embedding model of its database.",
            labels=("version", "model", "model_version", "dimensions"),
        )
        build.add_metric((__version__, facts.model_id, facts.model_version, str(facts.dimensions)), 1)
        yield build
        yield GaugeMetricFamily(
            "commontrace_rpcs_in_progress", "Calls that are being answered.", self._calls_in_progress()
        )
        yield CounterMetricFamily(
            "commontrace_log_lines_dropped",
            "Lines for standard error or output that could not be written.",
            dropped_lines(),
        )
        yield from self._of_pools()
        yield from self._of_texts()
        yield from self._of_the_queue()
        yield from self._of_recall()

    def _of_pools(self) -> Iterator[Metric]:
        size = GaugeMetricFamily("commontrace_pool_size", "Connections that a pool may open.", labels=("pool",))
        opened = GaugeMetricFamily("commontrace_pool_open", "Connections that are open.", labels=("pool",))
        in_use = GaugeMetricFamily("commontrace_pool_in_use", "Connections that somebody uses.", labels=("pool",))
        waiting = GaugeMetricFamily("commontrace_pool_waiting", "Who waits for a connection.", labels=("pool",))
        for state in self._pools():
            labels = (state.name,)
            size.add_metric(labels, state.size)
            opened.add_metric(labels, state.open)
            in_use.add_metric(labels, state.in_use)
            waiting.add_metric(labels, state.waiting)
        yield from (size, opened, in_use, waiting)

    def _of_texts(self) -> Iterator[Metric]:
        if not self._model.is_usable:
            return
        queries = self._model.queries
        yield CounterMetricFamily(
            "commontrace_query_cache_hits",
            "Texts that were not encoded, because they were just before or are just now.",
            queries.hits,
        )
        yield CounterMetricFamily("commontrace_query_cache_misses", "Texts that were encoded.", queries.misses)
        yield GaugeMetricFamily("commontrace_query_cache_entries", "Texts whose vectors are kept.", len(queries))

    def _of_the_queue(self) -> Iterator[Metric]:
        state = self._queue.state
        yield GaugeMetricFamily(
            "commontrace_encoding_queue_waiting",
            "Traces that wait for their vector, in the database.",
            state and state.waiting,
        )
        yield GaugeMetricFamily(
            "commontrace_encoding_queue_oldest_seconds",
            "How long the first of them has waited; 0 where none does.",
            state and state.oldest_seconds,
        )
        yield GaugeMetricFamily(
            "commontrace_encoding_queue_given_up",
            "Traces whose text could not be encoded.",
            state and state.given_up,
        )

    def _of_recall(self) -> Iterator[Metric]:
        probes = CounterMetricFamily(
            "commontrace_recall_probes", "Tries of the vector index, by what came of them.", labels=("outcome",)
        )
        for outcome, count in self._recall.outcomes.items():
            probes.add_metric((outcome,), count)
        yield probes
        yield GaugeMetricFamily(
            "commontrace_recall_at_10",
            "Share of the 10 nearest traces that the vector index finds: the mean of the last 20 tries.",
            self._recall.recall,
        )
