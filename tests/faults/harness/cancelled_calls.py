"""Calls of every kind that their caller cancels at some moment between the first step and the answer."""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from time import perf_counter
from typing import Any, TypeAlias
from uuid import UUID

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.v1 import trace_export_pb2, trace_pb2, vote_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub
from tests.contract.callers import caller
from tests.contract.imports.imports import a_record, message
from tests.faults.harness.beside import Beside
from tests.support.builders import a_contribution

_STANDING, _TRIED, _VOTERS = 10, 3, 20
VOTERS = [email for number in range(_VOTERS) for _, email in caller(number)]
"""Whom a channel has to know, besides somebody."""
_TITLE = "Cancelled"
_PATIENCE_SECONDS = 5.0
Begun: TypeAlias = "grpc.aio.Call"


class CancelledCalls:
    """Writes, reads and streams in turn. `sent` are the contributions, each with a request id."""

    def __init__(self, channel: grpc.aio.Channel, random: Random) -> None:
        self.sent: list[pb.CreateTraceRequest] = []
        self._outcomes: Counter[str] = Counter()
        self._traces, self._votes = TraceServiceStub(channel), VoteServiceStub(channel)
        self._random = random
        self._standing: list[str] = []
        self._patience: dict[str, float] = {}
        self._kinds: dict[str, Callable[[], Any]] = {
            "create": self._create,
            "update": self._update,
            "vote": self._vote,
            "import": self._import,
            "search": self._search,
            "list": self._list,
            "export": self._export,
        }

    @property
    def counted(self) -> str:
        """How the calls ended, in words."""
        return ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self._outcomes.items()))

    async def prepare(self) -> None:
        """Stores the traces that calls are about, and sees how long each kind of call takes."""
        for number in range(_STANDING):
            request = a_contribution(number, title=f"{_TITLE} standing {self._random.getrandbits(64)}")
            request.tags[:] = ["cancelled", "standing"]
            self._standing.append((await self._traces.CreateTrace(request)).created.id)
        for kind, begin in self._kinds.items():
            for _ in range(_TRIED):
                began = perf_counter()
                await _read(begin())
                self._patience[kind] = perf_counter() - began

    async def cancel(self, count: int, *, at_once: int) -> None:
        """Begins so many calls and cancels each at some moment, so that a third of them is answered before."""
        remaining = iter(range(count))

        async def some() -> None:
            for number in remaining:
                kind = list(self._kinds)[number % len(self._kinds)]
                call = self._kinds[kind]()
                reading = asyncio.create_task(_read(call))
                await asyncio.wait([reading], timeout=self._random.uniform(0, self._patience[kind]))
                call.cancel()
                outcome = await reading
                self._outcomes[outcome] += 1
                # How long a call takes depends on the others and on the machine: ln 1.25 / (ln 1.25 - ln 0.6) = 0.3.
                self._patience[kind] *= 1.25 if outcome == "cancelled" else 0.6

        await asyncio.gather(*(some() for _ in range(at_once)))

    async def repeat_all(self, database: Beside) -> int:
        """Sends every contribution again, and returns how many are not stored exactly once then.

        Gives up where that fails.
        """
        remaining = iter(self.sent)

        async def some() -> None:
            for request in remaining:
                if await _read(self._traces.CreateTrace(request, timeout=_PATIENCE_SECONDS)) != "answered":
                    break

        await asyncio.gather(*(some() for _ in range(4)))
        stored = await database.ask("SELECT title, count(*) FROM traces WHERE title LIKE 'Cancelled %' GROUP BY title")
        times = {row["title"]: row["count"] for row in stored}
        return sum(times.get(request.title, 0) != 1 for request in self.sent)

    def _create(self) -> Any:
        number = self._random.getrandbits(64)
        request = a_contribution(number, title=f"{_TITLE} {number}", request_id=self._uuid())
        request.tags[:] = ["cancelled", f"kind-{number % 7}"]
        self.sent.append(request)
        return self._traces.CreateTrace(request)

    def _update(self) -> Any:
        trace = trace_pb2.Trace(id=self._random.choice(self._standing), solution=f"Solution {self._random.random()}")
        return self._traces.UpdateTrace(pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=["solution"])))

    def _vote(self) -> Any:
        is_up = self._random.random() < 0.5
        request = vote_pb.CastVoteRequest(
            trace_id=self._random.choice(self._standing),
            type=vote_pb2.VOTE_TYPE_UP if is_up else vote_pb2.VOTE_TYPE_DOWN,
            reason=vote_pb2.DOWN_REASON_UNSPECIFIED if is_up else vote_pb2.DOWN_REASON_OUTDATED,
        )
        return self._votes.CastVote(request, metadata=caller(self._random.randrange(_VOTERS)))

    def _import(self) -> Any:
        records = [
            a_record(number, title=f"{_TITLE} {number}", tags=["cancelled", "imported"])
            for number in (self._random.getrandbits(64) for _ in range(5))
        ]
        return self._traces.ImportTraces(iter([message(records, import_id=self._uuid())]))

    def _search(self) -> Any:
        return self._traces.SearchTraces(pb.SearchTracesRequest(text="cancelled", limit=50, batch_size=10))

    def _list(self) -> Any:
        return self._traces.ListTraces(pb.ListTracesRequest())

    def _export(self) -> Any:
        return self._traces.ExportTraces(trace_export_pb2.ExportTracesRequest(batch_size=20))

    def _uuid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


async def _read(call: Any) -> str:
    """Returns how the call ended."""
    try:
        if hasattr(call, "read"):
            async for _ in call:
                pass
        else:
            await call
    except asyncio.CancelledError:
        return "cancelled"
    except grpc.aio.AioRpcError as error:
        return error.code().name.lower()
    return "answered"
