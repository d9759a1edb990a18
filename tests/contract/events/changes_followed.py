"""Somebody who watches through a network that breaks, and what is compared with what happened."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

from commontrace.client import connect
from commontrace.v1 import trace_event_pb2
from tests.conftest import query
from tests.faults.harness.proxy import Proxy

_LAST_EVENTS_SECONDS = 60.0

EventBatch = tuple[str, str, int]


class Follower:
    """Watches through a network that breaks, and now and then leaves and comes back with its token."""

    def __init__(self, proxy: Proxy, chance: Random) -> None:
        self.told: list[EventBatch] = []
        self.returns = 0
        self._proxy = proxy
        self._chance = chance
        self._token = ""
        self._awaited_id = ""
        self._is_told = asyncio.Event()
        self.has_begun = asyncio.Event()

    async def follow(self) -> None:
        """Runs until cancelled."""
        while True:
            until_it_leaves = self._chance.randint(50, 500)
            async with connect(self._proxy.address) as client, client.watch(self._token) as stream:
                self.has_begun.set()
                async for event in stream:
                    self.told.append(told_of(event))
                    self._token = stream.resume_token
                    if event.trace_id == self._awaited_id:
                        self._is_told.set()
                    until_it_leaves -= 1
                    if not until_it_leaves:
                        break
            self.returns += 1

    async def until_begun(self, following: "asyncio.Task[None]") -> None:
        """Returns when it watches. Raises what `follow`, which runs in the task, has failed with."""
        begun = asyncio.create_task(self.has_begun.wait())
        await asyncio.wait([begun, following], timeout=_LAST_EVENTS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
        assert begun.done(), "nobody could watch"

    async def until_told_of(self, trace_id: str) -> None:
        """Returns when it has been told of the trace."""
        self._awaited_id = trace_id
        if any(told_id == trace_id for _, told_id, _ in self.told):
            return
        await asyncio.wait_for(self._is_told.wait(), _LAST_EVENTS_SECONDS)


def told_of(event: trace_event_pb2.TraceEvent) -> EventBatch:
    name = trace_event_pb2.TraceEventType.Name(event.type).removeprefix("TRACE_EVENT_TYPE_").lower()
    return name, event.trace_id, event.revision


async def happened(url: str) -> list[EventBatch]:
    rows = await query(url, "SELECT event_type, trace_id, revision FROM trace_events ORDER BY sequence")
    return [(row.event_type, str(row.trace_id), row.revision) for row in rows]


def missing(some: Sequence[EventBatch], among: Sequence[EventBatch]) -> int:
    return (Counter(some) - Counter(among)).total()


def check_order(events: Sequence[EventBatch]) -> None:
    """What can only follow on something else does: deletions and validations alternate with their opposites."""
    standing: dict[tuple[str, str], str] = {}
    first: dict[str, str] = {}
    opposites = {"deleted": "deletion", "undeleted": "deletion", "validated": "status", "demoted": "status"}
    for name, trace_id, _ in events:
        first.setdefault(trace_id, name)
        if name in opposites:
            key = (opposites[name], trace_id)
            assert standing.get(key, {"deletion": "undeleted", "status": "demoted"}[key[0]]) != name
            standing[key] = name
    # Those that were made up behind the servers' backs are only ever edited.
    assert set(first.values()) == {"created", "updated"}
