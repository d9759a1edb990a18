"""Single flight, and the bounded cache on top of it."""

import asyncio

import pytest

from commontrace.single_flight_cache import SingleFlight, SingleFlightCache


class Source:
    """Loads the number of times that it was asked, once its gate is open, or fails."""

    def __init__(self) -> None:
        self.asked = 0
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None

    async def load(self) -> int:
        self.asked += 1
        number = self.asked
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fault:
            raise self.fault
        return number


@pytest.fixture
async def source() -> Source:
    return Source()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_ask_meanwhile_share_a_load_and_later_ones_do_not(source: Source) -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    assert await asyncio.gather(*(flights.run(key, source.load) for key in "aaba")) == [1, 1, 2, 1]
    assert await flights.run("a", source.load) == 3
    assert flights.keys == []


@pytest.mark.parametrize("leaving", [0, 1, 2])
async def test_a_cancelled_caller_leaves_the_others_undisturbed(source: Source, leaving: int) -> None:
    flights: SingleFlight[str, int] = SingleFlight(cancels_abandoned=True)
    source.gate.clear()
    callers = [asyncio.ensure_future(flights.run("a", source.load)) for _ in range(3)]
    await settle()
    callers.pop(leaving).cancel()
    await settle()
    source.gate.set()
    assert await asyncio.gather(*callers) == [1, 1]


@pytest.mark.parametrize("cancels", [True, False])
async def test_an_abandoned_load_goes_on_unless_it_is_to_be_cancelled(source: Source, *, cancels: bool) -> None:
    cache: SingleFlightCache[str, int] = SingleFlightCache(2, cancels_abandoned=cancels)
    source.gate.clear()
    caller = asyncio.ensure_future(cache.load("a", source.load))
    await settle()
    caller.cancel()
    await settle()
    source.gate.set()
    await settle()
    assert (source.cancelled, cache.get("a")) == ((1, None) if cancels else (0, 1))
    assert await cache.load("a", source.load) == (2 if cancels else 1)


async def test_a_failure_reaches_all_who_wait_and_is_not_cached(source: Source) -> None:
    cache: SingleFlightCache[str, int] = SingleFlightCache(2)
    source.fault = ConnectionError("away")
    failures = await asyncio.gather(*(cache.load("a", source.load) for _ in range(2)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [ConnectionError] * 2
    source.fault = None
    assert await cache.load("a", source.load) == 2


async def test_the_least_recently_used_is_evicted(source: Source) -> None:
    cache: SingleFlightCache[str, int] = SingleFlightCache(2)
    for key in "abacab":
        await cache.load(key, source.load)
    assert source.asked == 4
    assert (cache.get("a"), cache.get("b"), cache.get("c"), len(cache)) == (1, 4, None, 2)


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_cache_for_nothing_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        SingleFlightCache(capacity)


async def test_values_expire_counted_from_before_their_load(source: Source) -> None:
    cache: SingleFlightCache[str, int] = SingleFlightCache(2, ttl=lambda _: 0.05)
    source.gate.clear()
    late = asyncio.ensure_future(cache.load("a", source.load))
    await asyncio.sleep(0.06)
    source.gate.set()
    assert await late == 1
    assert cache.get("a") is None
    assert cache.holds("a")
    cache.put("a", 7)
    assert await cache.load("a", source.load) == 7
    await asyncio.sleep(0.06)
    assert await cache.load("a", source.load) == 2


@pytest.mark.parametrize("everything", [True, False])
async def test_a_load_from_before_a_deletion_is_neither_joined_nor_cached(source: Source, *, everything: bool) -> None:
    cache: SingleFlightCache[str, int] = SingleFlightCache(3)
    cache.put("kept", 10)
    cache.put("outdated", 20)
    source.gate.clear()
    before = asyncio.ensure_future(cache.load("a", source.load))
    await settle()
    if everything:
        cache.clear()
    else:
        cache.delete(lambda value: value == 20)
    assert (cache.get("kept"), cache.get("outdated")) == (None if everything else 10, None)
    after = asyncio.ensure_future(cache.load("a", source.load))
    await settle()
    assert cache.loading == ["a"]
    source.gate.set()
    assert (await before, await after) == (1, 2)
    assert cache.get("a") == 2
