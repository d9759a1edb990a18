"""Many who change traces at once, through real calls and, to leave numbers out, behind the servers' backs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct
from sqlalchemy import text

from commontrace.storage import engines
from commontrace.v1 import trace_pb2, vote_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub
from tests.contract.callers import caller, reason_of
from tests.support.builders import a_contribution

_PAIRS = 2
_SHARES = (22, 17, 60, 1)
_LATE_SECONDS = 0.05
_LONGEST_SECONDS = 60.0
"""A write takes milliseconds, on a busy machine some seconds."""
DRAW = text("INSERT INTO trace_events (trace_id, event_type, revision) VALUES (gen_random_uuid(), 'updated', 1)")


class Server(Protocol):
    """Stubs that writers call."""

    @property
    def traces(self) -> TraceServiceStub: ...
    @property
    def votes(self) -> VoteServiceStub: ...


@dataclass(kw_only=True)
class Tally:
    """Counts of writes: changes with events, and transactions rolled back after they drew a sequence number."""

    wanted: int
    changes: int = 0
    rolled_back: int = 0
    refused: int = 0

    @property
    def is_reached(self) -> bool:
        return self.changes >= self.wanted


@dataclass(kw_only=True)
class Owned:
    """Traces of a writer, and for each another one that supersedes it."""

    traces: list[str] = field(default_factory=list)
    successors: list[str] = field(default_factory=list)


class Writer:
    """Changes traces of its own, and votes on those of another writer."""

    def __init__(self, number: int, server: Server, chance: Random, tally: Tally) -> None:
        self.owned = Owned()
        self._number = number
        self._metadata = caller(number)
        self._server = server
        self._chance = chance
        self._tally = tally
        self._votes: dict[str, vote_pb2.VoteType.ValueType] = {}

    async def begin(self) -> None:
        for number in range(self._number * _PAIRS, (self._number + 1) * _PAIRS):
            old = await self._create(a_contribution(2 * number))
            new = await self._create(a_contribution(2 * number + 1, supersedes_trace_id=old))
            self.owned.traces.append(old)
            self.owned.successors.append(new)
            self._tally.changes += 3

    async def _create(self, contribution: pb.CreateTraceRequest) -> str:
        return (await self._server.traces.CreateTrace(contribution, metadata=self._metadata)).created.id

    async def write(self, other: Owned) -> None:
        """Writes until enough is written. What is refused, since somebody has just deleted it, is counted."""
        while not self._tally.is_reached:
            [kind] = self._chance.choices([self._edit, self._vote, self._delete_and_undelete, self._try], _SHARES)
            # The calls have no deadlines of their own: one that is never answered is to be named.
            async with asyncio.timeout(_LONGEST_SECONDS):
                reason = await reason_of(kind(other))
            assert reason in {"OK", "TRACE_NOT_FOUND"}
            self._tally.refused += reason != "OK"

    async def _edit(self, _other: Owned) -> None:
        metadata = Struct()
        metadata.update({"n": self._chance.random()})
        trace = trace_pb2.Trace(id=self._chance.choice(self.owned.traces), metadata=metadata)
        request = pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=["metadata"]))
        await self._server.traces.UpdateTrace(request, metadata=self._metadata)
        self._tally.changes += 1

    async def _vote(self, other: Owned) -> None:
        trace_id = self._chance.choice([*other.traces, *other.successors])
        # Each turns the status over: it depends on this voter alone.
        is_up = self._votes.get(trace_id) != vote_pb2.VOTE_TYPE_UP
        kind = vote_pb2.VOTE_TYPE_UP if is_up else vote_pb2.VOTE_TYPE_DOWN
        reason = vote_pb2.DOWN_REASON_UNSPECIFIED if is_up else vote_pb2.DOWN_REASON_OUTDATED
        request = vote_pb.CastVoteRequest(trace_id=trace_id, type=kind, reason=reason)
        await self._server.votes.CastVote(request, metadata=self._metadata)
        self._votes[trace_id] = kind
        self._tally.changes += 1

    async def _delete_and_undelete(self, _other: Owned) -> None:
        """Each tells of the trace that is replaced, too."""
        trace_id = self._chance.choice(self.owned.successors)
        traces = self._server.traces
        await traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace_id), metadata=self._metadata)
        await traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=trace_id), metadata=self._metadata)
        self._tally.changes += 4

    async def _try(self, _other: Owned) -> None:
        """Stores a trace and rolls it back."""
        trial = a_contribution(self._chance.randrange(10**9, 2 * 10**9), validate_only=True)
        await self._server.traces.CreateTrace(trial, metadata=self._metadata)
        self._tally.rolled_back += 1


@asynccontextmanager
async def latecomers(url: str, chance: Random, tally: Tally, count: int = 2) -> AsyncIterator[None]:
    """Transactions that draw numbers, wait, and commit or roll back, as long as the block lasts."""
    engine = engines.pooled(url, engines.SESSION_SETTINGS, size=count, timeout=10)
    is_over = asyncio.Event()

    async def draw() -> None:
        while not is_over.is_set():
            async with engine.connect() as connection:
                await connection.execute(text("SELECT pg_current_xact_id()"))
                await connection.execute(DRAW)
                await asyncio.sleep(chance.random() * _LATE_SECONDS)
                if chance.random() < 0.5:
                    await connection.rollback()
                    tally.rolled_back += 1
                else:
                    await connection.commit()
            await asyncio.sleep(chance.random() * _LATE_SECONDS)

    drawing = [asyncio.create_task(draw()) for _ in range(count)]
    try:
        yield
    finally:
        is_over.set()
        await asyncio.gather(*drawing)
        await engine.dispose()


async def change(servers: Sequence[Server], url: str, chance: Random, tally: Tally, writers: int) -> None:
    """Lets so many writers, spread over servers, change traces until there are as many changes as wanted."""
    writing = [Writer(number, servers[number % len(servers)], chance, tally) for number in range(writers)]
    async with latecomers(url, chance, tally):
        async with asyncio.timeout(_LONGEST_SECONDS):
            await asyncio.gather(*(writer.begin() for writer in writing))
        await asyncio.gather(
            *(writer.write(writing[(number + 1) % writers].owned) for number, writer in enumerate(writing))
        )
