"""Orders and replies of drivers that store traces: one JSON object a line, as for searches."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np

from bench import corpus
from bench.orders import reply
from commontrace.embeddings.embedder import Vector

DIFFERENT_TEXTS = 500
"""Texts of traces, which differ by their titles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportTask:
    """Start parameters of a driver that stores traces."""

    address: str
    dsn: str
    model_id: str
    model_version: str
    dimensions: int
    contributor_id: str
    """Whose traces raw ones are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A trace as both sides get it, before the clock starts."""

    id: UUID
    title: str
    context: str
    solution: str
    tags: Sequence[str]
    vector: Vector | None


Prepare = Callable[[Sequence[Given]], Callable[[], Awaitable[None]]]
"""Makes of some traces what stores them."""


def import_task() -> ImportTask:
    """Returns what this process was started with."""
    return ImportTask(**json.loads(sys.argv[1]))


async def obey(task: ImportTask, prepare: Prepare) -> None:
    """Says that it is ready, then stores so many traces over so many streams for every order, until the input ends."""
    texts = corpus.texts(DIFFERENT_TEXTS)
    reply({})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        given = traces_to_store(order["traces"], order["seed"], task.dimensions if order["with_vectors"] else 0, texts)
        parts = [prepare(given[stream :: order["streams"]]) for stream in range(order["streams"])]
        reply({})
        await asyncio.to_thread(sys.stdin.readline)
        began = time.perf_counter()
        await asyncio.gather(*(part() for part in parts))
        reply({"seconds": time.perf_counter() - began})


def traces_to_store(count: int, seed: int, dimensions: int, texts: Sequence[str]) -> list[Given]:
    """Returns traces with vectors of so many dimensions, without any for 0."""
    vectors: Sequence[Any] = list(corpus.vectors(count, dimensions, seed=seed)) if dimensions else [None] * count
    ids = np.random.default_rng(seed)
    return [
        Given(
            id=UUID(bytes=ids.bytes(16), version=4),
            title=f"Imported trace {seed}-{number}",
            context=texts[number % len(texts)],
            solution=texts[(7 * number + 1) % len(texts)],
            tags=[corpus.TAGS[(number + 7 * offset) % len(corpus.TAGS)] for offset in range(corpus.TAGS_A_TRACE)],
            vector=vector,
        )
        for number, vector in enumerate(vectors)
    ]
