"""Contributions that count as new however often they are stored, and what became of them."""

import asyncio
import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import grpc

from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.faults.harness.journal import Journal, Operation
from tests.faults.harness.load import until_answered
from tests.faults.harness.postgres import Postgres
from tests.support.builders import a_contribution, hits_of, search

_STORED = """
    SELECT id::text, title, context_text, solution_text, embedding IS NOT NULL AS is_embedded,
        ARRAY(
            SELECT name FROM tags JOIN trace_tags ON tag_id = tags.id WHERE trace_id = traces.id ORDER BY name
        ) AS tags
    FROM traces WHERE NOT is_seed"""


def a_write(number: int) -> pb.CreateTraceRequest:
    """A contribution whose text follows from its number."""
    unlike_others = hashlib.sha256(str(number).encode()).hexdigest()
    return a_contribution(
        number,
        context=f"{unlike_others[:20]} fails",
        solution=f"Replace it by {unlike_others[20:40]}.",
        tags=[f"area-{number % 11}", f"kind-{number % 7}"],
        on_duplicate=trace_pb2.ON_DUPLICATE_ALLOW,
    )


@dataclass(kw_only=True)
class Contributing:
    """Writers that repeat what is not answered; without request ids, the service cannot tell."""

    journal: Journal
    chance: random.Random
    sends_request_ids: bool
    deadline: float = 10.0
    """Of each attempt, in seconds."""
    acknowledged: dict[int, str] = field(default_factory=dict)
    """Ids by number."""
    repeated: int = 0
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def writer(self, client: int, channel: grpc.aio.Channel) -> Callable[[asyncio.Event], Any]:
        """Returns a client for `under_load`."""
        traces = TraceServiceStub(channel)

        async def write(enough: asyncio.Event) -> None:
            while not enough.is_set():
                await self._write(client, next(self._numbers), traces)

        return write

    async def _write(self, client: int, number: int, traces: TraceServiceStub) -> None:
        request = a_write(number)
        if self.sends_request_ids:
            request.request_id = str(UUID(int=self.chance.getrandbits(128), version=4))
        with self.journal.entry(Operation(client=client, register=f"contribution {number}")) as operation:
            response = await until_answered(
                operation, lambda: traces.CreateTrace(request, timeout=self.deadline, wait_for_ready=True)
            )
            operation.value = response.created.id
        self.repeated += operation.attempts > 1
        self.acknowledged[number] = response.created.id


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Counts of lost, duplicated and unfindable contributions."""

    lost: int
    """Acknowledged, and not there as they were sent."""
    duplicated: int
    unfound: int
    """Of a sample: there, and not found by their text."""


async def findings(contributing: Contributing, postgres: Postgres, channel: grpc.aio.Channel) -> Findings:
    """Compares what is stored with what was acknowledged."""
    stored = {row["id"]: row for row in await postgres.ask(_STORED)}
    copies = Counter(row["title"] for row in stored.values())
    lost = [
        number
        for number, trace_id in contributing.acknowledged.items()
        if trace_id not in stored or not _is_whole(stored[trace_id], a_write(number))
    ]
    kept = sorted(contributing.acknowledged.keys() - set(lost))
    sample = contributing.chance.sample(kept, min(20, len(kept)))
    found = [await _is_found(number, contributing.acknowledged[number], TraceServiceStub(channel)) for number in sample]
    return Findings(lost=len(lost), duplicated=sum(copies.values()) - len(copies), unfound=found.count(False))


def _is_whole(row: Any, sent: pb.CreateTraceRequest) -> bool:
    texts: Sequence[str] = (row["title"], row["context_text"], row["solution_text"])
    return row["is_embedded"] and texts == (sent.title, sent.context, sent.solution) and row["tags"] == list(sent.tags)


async def _is_found(number: int, trace_id: str, traces: TraceServiceStub) -> bool:
    sent = a_write(number)
    hits = hits_of(await search(traces, text=f"{sent.title}\n\n{sent.context}\n\n{sent.solution}", limit=5))
    return trace_id in {hit.trace.id for hit in hits}
