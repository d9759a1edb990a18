"""Clients that write, read and vote at random, and note what they did."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from commontrace.client import CallFailed, Client, NotFound
from commontrace.v1 import vote_pb2
from tests.faults.harness.journal import Journal, Operation, Outcome
from tests.faults.harness.load import attempt, until_answered
from tests.faults.harness.model import ABSENT, FINAL_READER

Answer = TypeVar("Answer")

# As a client that is itself killed does.
_GIVES_UP = 0.3
_MOST_TRACES = 60
_DELETED = "deleted"
_VERDICTS = {vote_pb2.VOTE_TYPE_UP: "up", vote_pb2.VOTE_TYPE_DOWN: "down"}


@dataclass(kw_only=True, eq=False)
class Trace:
    """A trace that was acknowledged."""

    register: str
    id: str
    text: str
    """What it says unless it is deleted."""
    is_standing: bool
    """It is never deleted, so that votes on it are never refused."""
    is_deleted: bool = False
    least_revisions: int = 1
    most_revisions: int = 1


@dataclass(kw_only=True)
class World:
    """State shared by all clients."""

    journal: Journal
    chance: random.Random
    traces: list[Trace] = field(default_factory=list)
    votes: dict[str, tuple[int, Trace]] = field(default_factory=dict)
    """By register: who voted on what."""
    refusals: list[str] = field(default_factory=list)
    """Of writes that only a loss explains: nobody else deletes what they are about."""
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def random_id(self) -> UUID:
        """Returns one for a request."""
        return UUID(int=self.chance.getrandbits(128), version=4)


@dataclass(kw_only=True)
class Actor:
    """One client."""

    number: int
    client: Client
    world: World
    own: list[Trace] = field(default_factory=list)
    given_up: set[str] = field(default_factory=set)
    """Registers that it does not write again: what it gave up may still be done."""
    has_voted_on: set[str] = field(default_factory=set)
    """Registers of votes that were acknowledged and not retracted."""

    async def act(self, enough: asyncio.Event) -> None:
        """Is a client for `under_load`."""
        await self._create(is_standing=True)
        while not enough.is_set():
            await self._any_operation()

    async def _any_operation(self) -> None:
        chance = self.world.chance
        writable = [trace for trace in self.own if trace.register not in self.given_up]
        standing = [trace for trace in self.world.traces if trace.is_standing and trace not in self.own]
        match chance.randrange(8):
            case 0 if len(self.own) < _MOST_TRACES:
                await self._create()
            case 1 | 2 if writable:
                await self._change(chance.choice(writable))
            case 3 | 4:
                await self.read(chance.choice(self.own), self.number)
            case 5:
                await self.read(chance.choice(self.world.traces), self.number)
            case 6 if standing:
                await self._vote(chance.choice(standing))
            case 7 if standing:
                await self.read_vote(chance.choice(standing), self.number)

    async def read(self, trace: Trace, reader: int) -> None:
        """Reads a trace, the final reader until it is answered."""
        await self._read(trace.register, reader, lambda: _text_of(trace.id, self.client))

    async def read_vote(self, trace: Trace, reader: int) -> None:
        """Reads this client's vote likewise."""

        async def call() -> str:
            try:
                vote = await self.client.my_vote(trace.id)
            except NotFound:
                return _DELETED
            return ABSENT if vote is None else _VERDICTS[vote.type]

        await self._read(_vote_register(trace, self.number), reader, call)

    async def _create(self, *, is_standing: bool = False) -> None:
        register = f"trace-{next(self.world.numbers)}"
        text, request_id = self._new_text(register), self.world.random_id()

        async def call() -> str:
            response = await self.client.contribute(text, text, text, on_duplicate="allow", request_id=request_id)
            return response.created.id

        trace_id, _ = await self._write(register, text, call, must=is_standing)
        if trace_id is not None:
            trace = Trace(register=register, id=trace_id, text=text, is_standing=is_standing)
            self.own.append(trace)
            self.world.traces.append(trace)

    async def _change(self, trace: Trace) -> None:
        if trace.is_deleted:
            await self._undelete(trace)
        elif not trace.is_standing and self.world.chance.random() < 0.2:
            await self._delete(trace)
        else:
            await self._update(trace)

    async def _update(self, trace: Trace) -> None:
        text, request_id = self._new_text(trace.register), self.world.random_id()
        _, outcome = await self._write(
            trace.register,
            text,
            lambda: self.client.update(trace.id, title=text, context=text, solution=text, request_id=request_id),
        )
        trace.least_revisions += outcome is Outcome.OK
        trace.most_revisions += outcome is not Outcome.FAILED
        if outcome is Outcome.OK:
            trace.text = text

    async def _delete(self, trace: Trace) -> None:
        request_id = self.world.random_id()
        _, outcome = await self._write(
            trace.register, _DELETED, lambda: self.client.delete(trace.id, request_id=request_id)
        )
        trace.is_deleted = outcome is Outcome.OK

    async def _undelete(self, trace: Trace) -> None:
        request_id = self.world.random_id()
        _, outcome = await self._write(
            trace.register, trace.text, lambda: self.client.undelete(trace.id, request_id=request_id)
        )
        trace.is_deleted = outcome is not Outcome.OK

    async def _vote(self, trace: Trace) -> None:
        register = _vote_register(trace, self.number)
        if register in self.given_up:
            return
        may_say = ("up", "down", ABSENT) if register in self.has_voted_on else ("up", "down")
        says, request_id = self.world.chance.choice(may_say), self.world.random_id()

        async def call() -> object:
            if says == ABSENT:
                return await self.client.retract_vote(trace.id, request_id=request_id)
            if says == "up":
                return await self.client.vote(trace.id, "up", request_id=request_id)
            return await self.client.vote(trace.id, "down", reason="outdated", request_id=request_id)

        self.world.votes[register] = (self.number, trace)
        _, outcome = await self._write(register, says, call)
        if outcome is Outcome.OK:
            (self.has_voted_on.discard if says == ABSENT else self.has_voted_on.add)(register)

    async def _write(
        self, register: str, value: str, call: Callable[[], Awaitable[Answer]], *, must: bool = False
    ) -> tuple[Answer | None, Outcome]:
        operation = Operation(client=self.number, register=register, value=value)
        gives_up = not must and self.world.chance.random() < _GIVES_UP
        answer = None
        with self.world.journal.entry(operation):
            try:
                answer = await attempt(operation, call) if gives_up else await until_answered(operation, call)
            except CallFailed as refusal:
                self.world.refusals.append(f"{register}: {refusal}")
        if operation.outcome is Outcome.UNKNOWN:
            self.given_up.add(register)
        return answer, operation.outcome

    async def _read(self, register: str, reader: int, call: Callable[[], Awaitable[str]]) -> None:
        operation = Operation(client=reader, register=register, is_write=False)
        with self.world.journal.entry(operation):
            is_final = reader == FINAL_READER
            answer = await until_answered(operation, call) if is_final else await attempt(operation, call)
            operation.value = answer or ""

    def _new_text(self, register: str) -> str:
        return f"{register} says {self.world.random_id()}"


async def _text_of(trace_id: str, client: Client) -> str:
    try:
        trace = await client.get(trace_id)
    except NotFound:
        return _DELETED
    return trace.title if trace.title == trace.context == trace.solution else f"torn: {trace}"


def _vote_register(trace: Trace, voter: int) -> str:
    return f"vote-{voter} on {trace.register}"
