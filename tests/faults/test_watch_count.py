"""Ten thousand changes by many at once, told to somebody whose connection breaks all the time."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import grpc
import pytest

from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub
from tests.contract.events.changes_followed import Follower, check_order, happened, missing
from tests.contract.events.changing_writers import Tally, change
from tests.faults.harness.proxy import proxy_before
from tests.faults.server_process import ServerProcess
from tests.support.builders import a_contribution

WRITERS = 16
CHANGES = int(os.environ.get("CHANGES", "2000"))
# How many there are depends on how long the changes take.
CUTS = CHANGES // 400
# Two servers, and whoever writes beside them, share the 60 connections of a Postgres.
_POOL_SIZE = 6


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A server process, and how it is called."""

    address: str
    traces: TraceServiceStub
    votes: VoteServiceStub


@asynccontextmanager
async def running(place: Path, url: str) -> AsyncIterator[Reached]:
    settings = {"DATABASE_URL": url, "EMBEDDER": "lexical", "VALIDATION_THRESHOLD": "1", "LOG_LEVEL": "warning"}
    with ServerProcess(place, "--migrate", DATABASE_POOL_SIZE=str(_POOL_SIZE), **settings) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield Reached(address=server.address, traces=TraceServiceStub(channel), votes=VoteServiceStub(channel))


@pytest.mark.parametrize("postgres_version", ["18"], indirect=True, scope="session")
async def test_nothing_is_lost_or_told_twice(
    tmp_path: Path, empty_database_url: str, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("CHANGES_SEED") or time.time_ns() % 1_000_000)
    chance = Random(seed)  # noqa: S311 - no secret
    tally = Tally(wanted=CHANGES)
    allowances = (chance.randint(4_000, 40_000) for _ in itertools.count())
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(running(tmp_path, empty_database_url))
        other = await stack.enter_async_context(running(tmp_path, empty_database_url))
        proxy = await stack.enter_async_context(proxy_before(one.address, allowances))
        follower = Follower(proxy, chance)
        following = asyncio.create_task(follower.follow())
        await follower.until_begun(following)
        seeds = len(await happened(empty_database_url))
        began = time.monotonic()
        await change([one, other], empty_database_url, chance, tally, WRITERS)
        last = (await other.traces.CreateTrace(a_contribution(10**6))).created.id
        await _first_of(follower.until_told_of(last), following)
        took = time.monotonic() - began
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    events = (await happened(empty_database_url))[seeds:]
    lost, twice = missing(events, follower.told), missing(follower.told, events)
    cuts = proxy.cuts + follower.returns
    record_property(
        "counted",
        f"CHANGES_SEED={seed}: {len(events)} events in {took:.0f} s, {tally.rolled_back} rolled back,"
        f" {cuts} cuts, {lost} lost, {twice} twice",
    )
    assert len(events) >= CHANGES
    assert tally.rolled_back > CHANGES / 100
    assert cuts >= CUTS
    assert follower.told == events
    check_order(events)


async def _first_of(told: Awaitable[None], following: "asyncio.Task[None]") -> None:
    """Waits for the news; raises what ended the follower before."""
    telling = asyncio.ensure_future(told)
    await asyncio.wait([telling, following], return_when=asyncio.FIRST_COMPLETED)
    if following.done():
        following.result()
    await telling
