"""Writes that both sides make: what is created, and which traces are voted for."""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from bench import corpus

CREATE, VOTE = "create", "vote"

DIFFERENT_TEXTS = 500
_VOTED_TRACES = 1_000


class WrittenTrace(NamedTuple):
    """A trace to be created."""

    title: str
    context: str
    solution: str
    tags: list[str]


def trace(number: int, texts: Sequence[str]) -> WrittenTrace:
    """Returns the trace of that number: no two have both texts in common, so none is nearly the same as another."""
    count = len(texts)
    return WrittenTrace(
        title=f"Created trace {number}",
        context=texts[number % count],
        solution=texts[(number + number // count + 1) % count],
        tags=[corpus.TAGS[(number + 7 * offset) % len(corpus.TAGS)] for offset in range(corpus.TAGS_A_TRACE)],
    )


async def voted_traces(connection: asyncpg.Connection) -> list[str]:
    """Returns the ids of the oldest traces, for which votes are cast in turn."""
    rows = await connection.fetch("SELECT id FROM traces ORDER BY created_at LIMIT $1", _VOTED_TRACES)
    return [str(row["id"]) for row in rows]
