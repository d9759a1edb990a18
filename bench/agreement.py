"""Agreement of both sides of the comparison: a faster side that returns less would prove nothing."""

from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from bench import raw_driver
from bench.failures import RunFailed
from bench.orders import Task
from bench.parameters import LIMIT
from commontrace.client import Client, vector
from commontrace.v1.trace_service_pb2 import SearchHit

_QUERIES = 16
# Similarities and distances are sums in single precision.
_TOLERANCE = 1e-6


async def check(client: Client, task: Task, queries: NDArray[np.float32]) -> None:
    """Compares some answers of the server with those of every form of the raw side. Raises RunFailed."""
    async with raw_driver.connections(task) as [prepared, *_]:
        for query in queries[:_QUERIES]:
            hits = await client.search(vector(query, model_id=task.model_id), limit=LIMIT, ranking="cosine")
            for form, ask in raw_driver.FORMS.items():
                rows = raw_driver.in_order(await ask(prepared, query, task.model_id))
                if len(rows) != len(hits) or not all(map(_are_same, rows, hits)):
                    raise RunFailed(f"raw asyncpg in {form} returns other rows than the server")


def _are_same(row: Any, hit: SearchHit) -> bool:
    trace = hit.trace
    return (
        (row["id"], row["title"], row["tags"]) == (UUID(trace.id), trace.title, trace.tags)
        and (row["context_text"], row["solution_text"]) == (trace.context, trace.solution)
        and abs(1.0 - row["distance"] - hit.similarity) < _TOLERANCE
    )
