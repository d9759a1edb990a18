"""Many who change traces at once, through real calls and, to leave numbers out, behind the servers' backs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Literal
from uuid import uuid4

from sqlalchemy import text

from commontrace.client import Client, NotFound, connect
from commontrace.storage import engines
from commontrace.storage.event_repository import EventRepository

_PAIRS = 2
_LATE_SECONDS = 0.02


@dataclass(kw_only=True)
class Tally:
    """What was done: changes that are told, and what was rolled back after a number was drawn."""

    wanted: int
    changes: int = 0
    rolled_back: int = 0
    refused: int = 0

    @property
    def is_reached(self) -> bool:
        return self.changes >= self.wanted


@dataclass(kw_only=True)
class Owned:
    """What a writer owns: traces, and for each another one that replaces it."""

    traces: list[str] = field(default_factory=list)
    successors: list[str] = field(default_factory=list)


class Writer:
    """Changes traces of its own, and votes on those of another writer."""

    def __init__(self, number: int, address: str, chance: Random, tally: Tally) -> None:
        self.owned = Owned()
        self.user = f"writer{number}@example.org"
        self._number = number
        self._address = address
        self._chance = chance
        self._tally = tally
        self._votes: dict[str, Literal["up", "down"]] = {}

    async def begin(self) -> None:
        async with connect(self._address, user=self.user, deadline=60) as client:
            for pair in range(_PAIRS):
                name = f"Trace {pair} of writer {self._number}"
                old = (await client.contribute(name, "A problem", "A cure")).created.id
                new = (await client.contribute(f"{name}, again", "A problem", "A cure", supersedes=old)).created.id
                self.owned.traces.append(old)
                self.owned.successors.append(new)
                self._tally.changes += 3

    async def write(self, other: Owned) -> None:
        async with connect(self._address, user=self.user, deadline=60) as client:
            while not self._tally.is_reached:
                kind = self._chance.choices([self._edit, self._vote, self._delete, self._try], [36, 32, 30, 2])[0]
                try:
                    await kind(client, other)
                except NotFound:
                    self._tally.refused += 1

    async def _edit(self, client: Client, _other: Owned) -> None:
        await client.update(self._chance.choice(self.owned.traces), metadata={"n": self._chance.random()})
        self._tally.changes += 1

    async def _vote(self, client: Client, other: Owned) -> None:
        trace_id = self._chance.choice([*other.traces, *other.successors])
        kind: Literal["up", "down"] = "down" if self._votes.get(trace_id) == "up" else "up"
        await client.vote(trace_id, kind, reason="outdated" if kind == "down" else None)
        # Its first vote may be a DOWN that changes nothing, later ones turn the status over.
        self._tally.changes += 1
        self._votes[trace_id] = kind

    async def _delete(self, client: Client, _other: Owned) -> None:
        trace_id = self._chance.choice(self.owned.successors)
        await client.delete(trace_id)
        await client.undelete(trace_id)
        self._tally.changes += 4

    async def _try(self, client: Client, _other: Owned) -> None:
        """Stores a trace and rolls it back."""
        await client.contribute(f"{self._chance.random()}", "A problem", "A cure", validate_only=True)
        self._tally.rolled_back += 1


@asynccontextmanager
async def latecomers(url: str, chance: Random, tally: Tally, count: int = 4) -> AsyncIterator[None]:
    """Transactions that draw numbers, wait, and commit or roll back, as long as the block lasts."""
    engine = engines.pooled(url, engines.SESSION, size=count, timeout=10)
    is_over = asyncio.Event()

    async def draw() -> None:
        while not is_over.is_set():
            async with engine.connect() as connection:
                await connection.execute(text("SELECT pg_current_xact_id()"))
                await EventRepository(connection).add(uuid4(), "updated", revision=1)
                await asyncio.sleep(chance.random() * _LATE_SECONDS)
                if chance.random() < 0.5:
                    await connection.rollback()
                    tally.rolled_back += 1
                else:
                    await connection.commit()
                    tally.changes += 1
            await asyncio.sleep(chance.random() * _LATE_SECONDS)

    drawing = [asyncio.create_task(draw()) for _ in range(count)]
    try:
        yield
    finally:
        is_over.set()
        await asyncio.gather(*drawing)
        await engine.dispose()


async def change(addresses: Sequence[str], url: str, chance: Random, tally: Tally, writers: int) -> None:
    """Lets so many writers, spread over servers, change traces until there are as many changes as wanted."""
    writing = [Writer(number, addresses[number % len(addresses)], chance, tally) for number in range(writers)]
    async with latecomers(url, chance, tally):
        await asyncio.gather(*(writer.begin() for writer in writing))
        await asyncio.gather(
            *(writer.write(writing[(number + 1) % writers].owned) for number, writer in enumerate(writing))
        )
