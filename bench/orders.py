"""Orders and replies of driver processes: one JSON object a line, on standard input and output."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from bench import closed_loop
from bench.closed_loop import Ask


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Start parameters of a driver."""

    address: str
    """Where the server listens."""
    dsn: str
    """The server's database, for asyncpg."""
    model_id: str
    ef_search: int
    vectors: str
    """A file of query vectors by kind: `embedding`, and `text` for the vectors of the texts asked."""
    texts: int
    """How many texts are asked again and again."""
    matches: dict[str, int]
    """How many traces pass which narrowing."""
    traces: int
    """How many there are."""
    exported: int
    """How many of them an export reads."""


def task() -> Task:
    """Returns what this process was started with."""
    return Task(**json.loads(sys.argv[1]))


async def obey(asks: Mapping[str, Ask]) -> None:
    """Says that it is ready, then carries out orders, each about one of these searches, until the input ends.

    Numbers go on from order to order, so that a question asked once is never asked again.
    """
    numbers = {search: count() for search in asks}
    reply({})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        search = order["search"]
        answers = await closed_loop.run(
            asks[search], numbers[search], callers=order["callers"], seconds=order["seconds"]
        )
        reply(asdict(answers))


def reply(message: dict[str, Any]) -> None:
    """Writes one line at once."""
    print(json.dumps(message), flush=True)
