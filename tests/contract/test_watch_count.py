"""Ten thousand changes by many at once, told to somebody whose connection breaks all the time."""

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Sequence
from random import Random

import pytest

from commontrace.client import connect
from commontrace.core.settling import Look, Settlement
from commontrace.storage.database import Database
from commontrace.v1 import trace_event_pb2
from tests.conftest import ServerFactory, query, server_settings
from tests.contract.changing_writers import Tally, change
from tests.contract.cutting_proxy import CuttingProxy, cutting_proxy

WRITERS, CHANGES, CUTS = 16, 10_000, 50
LAST_EVENTS_SECONDS = 20.0

Told = tuple[str, str, int]


class Follower:
    """Watches through a network that breaks, and now and then leaves and comes back with its token."""

    def __init__(self, proxy: CuttingProxy, chance: Random) -> None:
        self.told: list[Told] = []
        self.returns = 0
        self._proxy = proxy
        self._chance = chance
        self._token = ""
        self.has_begun = asyncio.Event()

    async def follow(self) -> None:
        """Runs until cancelled."""
        while True:
            until_it_leaves = self._chance.randint(50, 700)
            async with connect(self._proxy.address) as client, client.watch(self._token) as stream:
                self.has_begun.set()
                async for event in stream:
                    self.told.append(_told(event))
                    self._token = stream.resume_token
                    until_it_leaves -= 1
                    if not until_it_leaves:
                        break
            self.returns += 1

    async def until_told(self, count: int) -> None:
        async with asyncio.timeout(LAST_EVENTS_SECONDS):
            while len(self.told) < count:
                await asyncio.sleep(0.05)


def _told(event: trace_event_pb2.TraceEvent) -> Told:
    name = trace_event_pb2.TraceEventType.Name(event.type).removeprefix("TRACE_EVENT_TYPE_").lower()
    return name, event.trace_id, event.revision


def without_the_rule(settlement: Settlement, look: Look) -> bool:
    settlement.settled = look.last
    return False


@pytest.mark.parametrize("has_rule", [True, False], ids=["", "without the rule for gaps"])
async def test_nothing_is_lost_or_told_twice(
    start_server: ServerFactory,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    *,
    has_rule: bool,
) -> None:
    if not has_rule:
        monkeypatch.setattr(Settlement, "take", without_the_rule)
    seed = int(os.environ.get("CHANGES_SEED") or time.time_ns() % 1_000_000)
    chance = Random(seed)  # noqa: S311 - no secret
    tally = Tally(wanted=CHANGES if has_rule else CHANGES // 10)
    allowances = (chance.randint(4_000, 80_000) for _ in itertools.count())
    other_database = Database(database_url)
    settings = server_settings(validation_threshold=1, database_pool_size=WRITERS)
    began = time.monotonic()
    async with (
        start_server(settings=settings) as one,
        start_server(settings=settings, database=other_database) as other,
        cutting_proxy(one.address, allowances) as proxy,
    ):
        follower = Follower(proxy, chance)
        following = asyncio.create_task(follower.follow())
        await follower.has_begun.wait()
        await change([one.address, other.address], database_url, chance, tally, WRITERS)
        happened = await _events(database_url)
        try:
            await follower.until_told(len(happened))
        except TimeoutError:
            assert not has_rule
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    await other_database.close()
    lost = len(happened) - len(set(happened) & set(follower.told)) if False else _missing(happened, follower.told)
    twice = _missing(follower.told, happened)
    cuts = proxy.cuts + follower.returns
    record_property(
        "counted",
        f"CHANGES_SEED={seed}: {len(happened)} events in {time.monotonic() - began:.0f} s, {tally.rolled_back} rolled"
        f" back, {cuts} cuts, {lost} lost, {twice} twice",
    )
    assert tally.rolled_back > tally.wanted / 50
    if has_rule:
        assert len(happened) >= CHANGES
        assert cuts >= CUTS
        assert follower.told == happened
        _check_order(happened)
    else:
        assert lost > 0


async def _events(url: str) -> list[Told]:
    rows = await query(url, "SELECT event_type, trace_id, revision FROM trace_events ORDER BY sequence")
    return [(row.event_type, str(row.trace_id), row.revision) for row in rows]


def _missing(some: Sequence[Told], among: Sequence[Told]) -> int:
    from collections import Counter

    return (Counter(some) - Counter(among)).total()


def _check_order(events: Sequence[Told]) -> None:
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
