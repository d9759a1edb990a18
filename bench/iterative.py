"""Baseline of filtered search in Postgres alone: an iterative index scan in strict order until enough rows pass."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench import grpc_driver, iterative_driver, recall
from bench.measuring import Measured, Measuring, Search
from bench.orders import Task
from bench.parameters import LIMIT
from bench.processes import Driver, driving

_EF_SEARCH = (40, 100, 200, 400, 800, 1000)
_ENOUGH = 0.99
_QUERIES = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """The raw filtered search with one `ef_search`."""

    ef_search: int
    recall: float
    short: int
    """Answers with fewer rows than match, of all queries."""
    measured: Measured
    through_grpc: Measured
    """The server's searches under the same filter, in turn with these."""


async def measure(
    measuring: Measuring,
    task: Task,
    nearest: Sequence[set[int]],
    queries: NDArray[np.float32],
    through_grpc: Driver,
    *,
    callers: int,
    rounds: int,
) -> list[Baseline]:
    """Returns what the usual ef_search reaches, and the least with a recall of .99, or else the best.

    Both are one where the usual suffices. Raises RunFailed.
    """
    recalls: dict[int, tuple[float, int]] = {}
    for ef_search in _EF_SEARCH:
        recalls[ef_search] = await _recall(replace(task, ef_search=ef_search), nearest[:_QUERIES], queries[:_QUERIES])
        if recalls[ef_search][0] >= _ENOUGH:
            break
    best = max(recalls, key=lambda ef_search: recalls[ef_search][0])
    baselines = []
    for ef_search in sorted({_EF_SEARCH[0], best}):
        async with driving(replace(task, ef_search=ef_search), "bench.iterative_driver") as [driver]:
            raw = Search(
                name=f"raw asyncpg, strict_order, ef_search {ef_search}", driver=driver, order=iterative_driver.ORDER
            )
            order = grpc_driver.among(iterative_driver.NARROWING)
            served = Search(name=f"gRPC, {order}", driver=through_grpc, order=order)
            measured, beside = await measuring.in_turn([raw, served], callers=callers, rounds=rounds)
        found, short = recalls[ef_search]
        baselines.append(
            Baseline(ef_search=ef_search, recall=found, short=short, measured=measured, through_grpc=beside)
        )
    return baselines


async def _recall(task: Task, nearest: Sequence[set[int]], queries: NDArray[np.float32]) -> tuple[float, int]:
    async with iterative_driver.connections(task) as idle:
        gate = asyncio.Semaphore(len(idle))

        async def found(query: NDArray[np.float32]) -> set[int]:
            async with gate:
                prepared = idle.pop()
                rows = await prepared.fetch(query, task.model_id, iterative_driver.NARROWING.part)
                idle.append(prepared)
            return {recall.number_of(row["title"]) for row in rows}

        answers = await asyncio.gather(*map(found, queries))
    hit = sum(len(numbers & wanted) for numbers, wanted in zip(answers, nearest, strict=True))
    short = sum(len(numbers) < min(LIMIT, len(wanted)) for numbers, wanted in zip(answers, nearest, strict=True))
    return hit / sum(map(len, nearest)), short
