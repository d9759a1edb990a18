"""Recall of searches through gRPC: the share of the truly nearest traces among the hits."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.failures import RunFailed
from bench.narrowing import Narrowing
from bench.parameters import LIMIT
from commontrace.client import Client, TraceFilter, vector
from commontrace.v1.vector_pb2 import Vector

_AT_A_TIME = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall:
    """Recall of searches that consider a `share` of the traces."""

    share: float
    recall: float
    """How many of the nearest `LIMIT` by brute force were among the hits, of all queries together."""
    exact: float
    """Which part of the answers was completed by comparing every trace."""


async def measure(
    client: Client,
    embeddings: NDArray[np.float32],
    queries: NDArray[np.float32],
    *,
    model_id: str,
    narrowing: Narrowing | None,
) -> Recall:
    """Searches among the traces of a part, or among all for None.

    Raises RunFailed for an answer with fewer hits than there are matches, which the contract rules out.
    """
    passing = np.arange(len(embeddings)) if narrowing is None else narrowing.passing(len(embeddings))
    trace_filter = TraceFilter() if narrowing is None else narrowing.trace_filter()
    gate = asyncio.Semaphore(_AT_A_TIME)

    async def found(query: Vector) -> tuple[set[int], bool]:
        async with gate:
            hits = await client.search(query, limit=LIMIT, full=False, filter=trace_filter, ranking="cosine")
        return {number_of(hit.trace.title) for hit in hits}, hits.summary.exact

    answers = await asyncio.gather(*(found(vector(query, model_id=model_id)) for query in queries))
    wanted = nearest(embeddings, passing, queries)
    short = sum(len(numbers) < len(best) for (numbers, _), best in zip(answers, wanted, strict=True))
    if short:
        raise RunFailed(f"{short} of {len(queries)} searches among {len(passing)} traces found too few")
    hit = sum(len(numbers & best) for (numbers, _), best in zip(answers, wanted, strict=True))
    return Recall(
        share=len(passing) / len(embeddings),
        # Where nobody matches, nobody is missed.
        recall=hit / due if (due := sum(map(len, wanted))) else 1.0,
        exact=sum(exact for _, exact in answers) / len(answers),
    )


def number_of(title: str) -> int:
    """Returns the number of a trace: its title ends with it."""
    return int(title.rpartition(" ")[2])


def nearest(
    embeddings: NDArray[np.float32], passing: NDArray[np.intp], queries: NDArray[np.float32]
) -> Sequence[set[int]]:
    """Returns the numbers of the `LIMIT` nearest of those that pass, by brute force, for each query."""
    similarities = queries @ embeddings[passing].T
    return [{*passing[np.argsort(-row)[:LIMIT]].tolist()} for row in similarities]
