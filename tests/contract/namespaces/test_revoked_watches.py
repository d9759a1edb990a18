"""Revocation of watches: they end with the reason, within 10 seconds though nothing happens."""

import asyncio
from itertools import product
from typing import Any

import pytest

from commontrace.domain.namespaces.namespace import Role
from commontrace.v1 import trace_event_pb2
from tests.contract.namespaces.pairs import Pair, end_of, refused_after, within
from tests.contract.namespaces.revocations import KINDS, revocable
from tests.contract.namespaces.world import set_member
from tests.support.builders import a_contribution

_WATCH_ENDS_WITHIN_SECONDS = 10.0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_watch_ends_before_the_next_event(pair: Pair, kind: str) -> None:
    lost = await revocable(pair.first, pair.owner, kind)
    watches = [
        server.traces.WatchTraces(trace_event_pb2.WatchTracesRequest(), metadata=lost.reader, timeout=60)
        for server in pair.both
    ]
    for watch in watches:
        await watch.read()
    await lost.revoke()
    for server in pair.both:
        await refused_after(server, lost)
    # In `commons`, which the reader still reads.
    await pair.first.traces.CreateTrace(a_contribution(1), metadata=pair.owner)
    for watch in watches:
        reason, count = await end_of(watch)
        # Before a namespace is deleted, its traces are purged.
        assert (reason, count) == (lost.reason, 0) or (kind == "deleted" and reason == lost.reason)


async def test_a_watch_ends_when_a_namespace_is_lost_that_was_gained_meanwhile(pair: Pair) -> None:
    lost = await revocable(pair.first, pair.owner, "member removed")
    await lost.revoke()
    await asyncio.gather(*(refused_after(server, lost) for server in pair.both))
    watches = [
        server.traces.WatchTraces(trace_event_pb2.WatchTracesRequest(), metadata=lost.reader, timeout=60)
        for server in pair.both
    ]
    for watch in watches:
        await watch.read()
    await set_member(pair.first, pair.owner, lost.name, lost.reader_email, Role.READER)
    await asyncio.sleep(0.2)
    await pair.first.traces.CreateTrace(a_contribution(1, namespace=lost.name), metadata=pair.owner)
    for watch in watches:
        assert [event.namespace for event in (await watch.read()).events] == [lost.name]
    await lost.revoke()
    await asyncio.gather(*(refused_after(server, lost) for server in pair.both))
    await pair.first.traces.CreateTrace(a_contribution(2), metadata=pair.owner)
    assert [await end_of(watch) for watch in watches] == [("NAMESPACE_NOT_FOUND", 0)] * 2


@pytest.mark.slow
async def test_a_watch_ends_within_ten_seconds_though_nothing_happens(pair: Pair) -> None:
    everything = [await revocable(pair.first, pair.owner, kind) for kind in KINDS]
    watches = []
    for lost in everything:
        for server, trace_filter in product(pair.both, (within(lost), None)):
            request = trace_event_pb2.WatchTracesRequest(filter=trace_filter)
            watch = server.traces.WatchTraces(request, metadata=lost.reader, timeout=60)
            watches.append((lost, trace_filter is not None, watch))
            await watch.read()
    for lost in everything:
        await lost.revoke()
    clock = asyncio.get_running_loop().time
    begun = clock()

    async def end(watch: Any) -> tuple[str, float]:
        reason, _ = await end_of(watch)
        return reason, clock() - begun

    ends = await asyncio.gather(*(end(watch) for _, __, watch in watches))
    for (reason, _), (lost, is_narrow, _) in zip(ends, watches, strict=True):
        # Everybody who reads everything loses the one that is made private.
        assert reason == lost.reason or (reason == "NAMESPACE_NOT_FOUND" and not is_narrow)
    assert max(seconds for _, seconds in ends) < _WATCH_ENDS_WITHIN_SECONDS + 0.5
