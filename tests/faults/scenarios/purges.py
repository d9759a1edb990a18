"""Purges beside every writer: nothing that was written of a purged trace is left in any table."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct

from commontrace.core.encoding.queue import encode_batch, requeue
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage.database import Database
from commontrace.v1 import tag_service_pb2 as tag_pb
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from commontrace.v1.tag_service_pb2_grpc import TagServiceStub
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_pb2 import VOTE_TYPE_UP
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub
from tests.contract.callers import ADA, BOB, EVE, reason_of
from tests.contract.imports.imports import a_record, acknowledged, message
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.journal import Operation
from tests.faults.harness.load import until_answered
from tests.faults.harness.postgres import Postgres
from tests.faults.harness.service import running_service
from tests.faults.harness.stored import every_statistic, everything_stored
from tests.faults.harness.unprotected import PURGE_LOCK
from tests.support.builders import a_contribution

_AT_A_TIME = 3
_ROUNDS = 260
# Between reading a trace and storing an answer with its text there is time for a purge.
_LATENCY_SECONDS = 0.004
_WRITERS_WITHIN_SECONDS, _PURGE_WITHIN_SECONDS = 0.12, 0.04
_TIMEOUT_SECONDS = 30.0
_ATTEMPTS, _PAUSE_SECONDS = 50, 0.05
_DIMENSIONS = 64
_MARK = "xyzzy"
_USERS = [email for caller in (ADA, BOB, EVE) for _, email in caller]
_DONE = ("OK", "TRACE_NOT_FOUND")
_UNEXPLAINED = ("INTERNAL", "UNKNOWN")
# Whoever had the same content a moment after the purge, or one near it, contributed it anew.
_LEFT = "SELECT id::text FROM traces WHERE title LIKE '%{}%'"
_WITHOUT_VECTOR = """
    UPDATE traces SET embedding = NULL, embedding_model_id = NULL, embedding_model_version = NULL WHERE id = '{}'"""
_TABLES = "traces, trace_revisions, idempotent_requests, votes"
# What docs/security.md says to run.
_VACUUM = f"VACUUM (ANALYZE) {_TABLES}"
_ROUNDS_BETWEEN_ANALYSES = 10


@dataclass(kw_only=True)
class _Purging:
    channel: grpc.aio.Channel
    postgres: Postgres
    database: Database
    chance: random.Random
    marks: list[str] = field(default_factory=list)
    purged: int = 0
    beside: Counter[str] = field(default_factory=Counter)
    """What became of the calls of writers."""
    purges: Counter[str] = field(default_factory=Counter)
    """What became of each attempt to purge."""

    def __post_init__(self) -> None:
        self.traces = TraceServiceStub(self.channel)
        self.votes = VoteServiceStub(self.channel)
        self.tags = TagServiceStub(self.channel)

    async def purge_beside_writers(self, number: int) -> None:
        """Contributes a trace, purges it while everybody writes about it, and then what they contributed anew."""
        mark = f"{_MARK}{number}z"
        self.marks.append(mark)
        request = self._contribution(mark)
        first = await until_answered(
            Operation(client=-1, register=mark),
            lambda: self.traces.CreateTrace(request, metadata=ADA, timeout=_TIMEOUT_SECONDS),
        )
        trace_id = first.created.id
        if number % _ROUNDS_BETWEEN_ANALYSES == 0:
            await self.postgres.ask(f"ANALYZE {_TABLES}")
        # Writers who change the trace make the purge wait: every other time there are only those who read it.
        writers = list(self._readers(mark))
        if number % 2:
            writers += self._changers(mark, trace_id)
        outcomes = await asyncio.gather(
            *(self._within(_WRITERS_WITHIN_SECONDS, writer) for writer in writers),
            self._within(_PURGE_WITHIN_SECONDS, lambda: self._purge(trace_id)),
        )
        self.beside.update(outcomes[:-1])
        while left := await self.postgres.ask(_LEFT.format(mark)):
            for row in left:
                await self._purge(row["id"])

    def _readers(self, mark: str) -> Iterator[Callable[[], Awaitable[str]]]:
        same = self._contribution(mark)
        for caller in (ADA, BOB, EVE, ADA, BOB, EVE):
            yield self._call(self.traces.CreateTrace, same, caller)
        for ending in ("!", "..."):
            yield self._call(self.traces.CreateTrace, self._contribution(mark, ending=ending), BOB)
        yield lambda: self._import(same)

    def _changers(self, mark: str, trace_id: str) -> Iterator[Callable[[], Awaitable[str]]]:
        traces, said = self.traces, f"{mark} was said"
        successor = self._contribution(mark, ending="?", supersedes_trace_id=trace_id)
        edited = trace_pb2.Trace(id=trace_id, title=f"{mark} is edited")
        edit = pb.UpdateTraceRequest(trace=edited, update_mask=FieldMask(paths=["title"]))
        vote = vote_pb.CastVoteRequest(trace_id=trace_id, type=VOTE_TYPE_UP, comment=said)
        yield self._call(traces.CreateTrace, successor, ADA)
        yield self._call(traces.UpdateTrace, edit, ADA)
        yield self._call(self.votes.CastVote, vote, BOB)
        yield self._call(self.votes.RetractVote, vote_pb.RetractVoteRequest(trace_id=trace_id), BOB)
        yield self._call(traces.HideTrace, pb.HideTraceRequest(trace_id=trace_id, reason=said), EVE)
        yield self._call(traces.UnhideTrace, pb.UnhideTraceRequest(trace_id=trace_id), EVE)
        yield self._call(traces.DeleteTrace, pb.DeleteTraceRequest(trace_id=trace_id), ADA)
        yield self._call(traces.UndeleteTrace, pb.UndeleteTraceRequest(trace_id=trace_id), ADA)
        merge = tag_pb.MergeTagsRequest(source=f"of-{mark.removeprefix(_MARK)}", target="all")
        yield self._call(self.tags.MergeTags, merge, EVE)
        yield lambda: self._encode(trace_id)

    def _contribution(self, mark: str, *, ending: str = ".", **changes: Any) -> pb.CreateTraceRequest:
        metadata = Struct()
        metadata.update({mark: mark})
        return a_contribution(
            title=f"{mark} fails in a long enough sentence",
            context=f"Whoever starts {mark} is told that it cannot be started{ending}",
            solution=f"Start {mark} again, this time as it is written in the manual{ending}",
            tags=[f"of-{mark.removeprefix(_MARK)}"],
            metadata=metadata,
            **changes,
        )

    def _call(self, rpc: Any, request: Any, caller: Any) -> Callable[[], Awaitable[str]]:
        kept = type(request)()
        kept.CopyFrom(request)
        kept.request_id = self._id()
        return lambda: reason_of(rpc(kept, metadata=caller, timeout=_TIMEOUT_SECONDS))

    async def _import(self, same: pb.CreateTraceRequest) -> str:
        record = a_record(title=same.title, context=same.context, solution=same.solution, metadata=same.metadata)
        return await reason_of(acknowledged(self.traces, message([record], import_id=self._id()), caller=BOB))

    async def _encode(self, trace_id: str) -> str:
        await self.postgres.ask(_WITHOUT_VECTOR.format(trace_id))
        await requeue(self.database)
        await encode_batch(self.database, LexicalEmbedder(_DIMENSIONS))
        return "OK"

    async def _purge(self, trace_id: str) -> str:
        for _ in range(_ATTEMPTS):
            request = pb.PurgeTraceRequest(trace_id=trace_id, request_id=self._id())
            outcome = await reason_of(self.traces.PurgeTrace(request, metadata=EVE, timeout=_TIMEOUT_SECONDS))
            self.purges[outcome] += 1
            if outcome in _DONE:
                self.purged += 1
                return outcome
            await asyncio.sleep(_PAUSE_SECONDS)
        raise AssertionError(f"{trace_id} could not be purged: {self.purges}")

    async def _within(self, seconds: float, act: Callable[[], Awaitable[str]]) -> str:
        await asyncio.sleep(self.chance.random() * seconds)
        return await act()

    def _id(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: whoever is about to store an answer with a trace's text in it holds off no purge."""
    rounds = trial.times(_ROUNDS)
    without = None if trial.protected else PURGE_LOCK
    async with (
        running_service(trial, without=without, DATABASE_POOL_SIZE="20") as service,
        service.callers.channel(service.server.address, users=_USERS) as channel,
    ):
        postgres = service.postgres
        database = Database(postgres.url, pool_size=3, pool_timeout=_TIMEOUT_SECONDS)
        chance = random.Random(trial.seed)  # noqa: S311 - when to purge is no secret
        purging = _Purging(channel=channel, postgres=postgres, database=database, chance=chance)
        # Something stays in every table, or the planner keeps what it knew.
        stays = await purging.traces.CreateTrace(a_contribution(1), metadata=ADA)
        stay = vote_pb.CastVoteRequest(trace_id=stays.created.id, type=VOTE_TYPE_UP, comment="It stays.")
        await purging.votes.CastVote(stay, metadata=BOB)
        service.proxy.latency = _LATENCY_SECONDS
        numbers = iter(range(rounds))

        async def take_turns() -> None:
            for number in numbers:
                await purging.purge_beside_writers(number)

        await asyncio.gather(*(take_turns() for _ in range(_AT_A_TIME)))
        await database.close()
        stored = await everything_stored(postgres.url)
        statistics = [await every_statistic(postgres.url)]
        await postgres.ask(_VACUUM)
        statistics.append(await every_statistic(postgres.url))
    left = sum(mark in stored for mark in purging.marks)
    known_before, known = (sum(mark in text for mark in purging.marks) for text in statistics)
    unexplained = sum(outcomes[kind] for outcomes in (purging.beside, purging.purges) for kind in _UNEXPLAINED)
    calls = purging.beside.total() + purging.purges.total()
    beside = f"{purging.beside['OK']} of {purging.beside.total()} calls beside them carried out"
    return [
        Figure(
            name="texts left by purges beside every writer",
            target="0",
            measured=f"{left} of {rounds} after {purging.purged} purges, {beside}",
            ok=not left,
        ),
        Figure(
            name="texts left in the planner's statistics by them, after VACUUM (ANALYZE)",
            target="0",
            measured=f"{known} of {rounds}, {known_before} before it",
            ok=not known,
        ),
        Figure(
            name="answers INTERNAL or UNKNOWN", target="0", measured=f"{unexplained} of {calls}", ok=not unexplained
        ),
    ]
