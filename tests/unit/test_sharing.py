"""Fair sharing: dynamic thresholds, the fair limiter, round robin."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from commontrace.fair_sharing.fair_limiter import FairLimiter
from commontrace.fair_sharing.round_robin import RoundRobin
from commontrace.fair_sharing.shares import Shares, served_user


def taken_by_greed(shares: Shares, *users: str) -> Counter[str]:
    """Lets users take in turn until nobody may."""
    taken: Counter[str] = Counter()
    while able := [user for user in users if shares.has_room(user)]:
        for user in able:
            if shares.has_room(user):
                shares.take(user)
                taken[user] += 1
    return taken


@pytest.mark.parametrize(
    ("size", "users", "each"), [(100, "a", 75), (75, "a", 57), (4, "a", 3), (2, "a", 2), (1, "a", 1), (100, "ab", 43)]
)
def test_the_greedy_leave_something(size: int, users: str, each: int) -> None:
    shares = Shares(size)
    assert set(taken_by_greed(shares, *users).values()) == {each}
    assert shares.taken == each * len(users) <= size
    assert shares.has_room("another") == (shares.taken < size)


def test_released_units_are_there_for_every_user() -> None:
    shares = Shares(8)
    taken_by_greed(shares, "a")
    assert not shares.has_room("a")
    shares.give_back("a", 4)
    assert shares.has_room("a")
    assert (shares.taken, shares.taken_by("a"), shares.taken_by("b")) == (2, 2, 0)


def test_a_user_without_units_may_take_one_though_none_is_left() -> None:
    shares = Shares(4, one_each=True)
    assert taken_by_greed(shares, "a", "b", "c", "d", "e") == Counter(a=1, b=1, c=1, d=1, e=1)
    assert not shares.has_room("a")


def test_units_can_be_taken_beyond_the_size_and_leave_no_room() -> None:
    shares = Shares(8)
    shares.take("a", 20)
    assert not shares.has_room("a")
    assert not shares.has_room("b")


async def as_user(user: str, do: Callable[[], Awaitable[object]]) -> None:
    served_user.set(user)
    await do()


async def test_the_user_with_the_fewest_units_is_next() -> None:
    limiter, order, release = FairLimiter(4), [], asyncio.Event()

    async def work() -> None:
        async with limiter.hold():
            order.append(served_user.get())
            await release.wait()

    greedy = [asyncio.create_task(as_user("greedy", work)) for _ in range(20)]
    await asyncio.sleep(0)
    assert (order, limiter.in_use, limiter.waiting) == (["greedy"] * 3, 3, 17)
    others = [asyncio.create_task(as_user(user, work)) for user in ("x", "y", "y", "z")]
    await asyncio.sleep(0)
    assert order[3:] == ["x"]
    release.set()
    await asyncio.gather(*greedy, *others)
    # Users without units came before those with some.
    assert order[4:6] == ["y", "z"]
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_users_alternate_at_a_limiter_of_one() -> None:
    limiter, order = FairLimiter(1), []

    async def work() -> None:
        async with limiter.hold():
            order.append(served_user.get())
            await asyncio.sleep(0)

    await asyncio.gather(*(as_user(user, work) for user in "aaaaabbc"))
    # The first was admitted before anybody waited.
    assert "".join(order) == "aabcabaa"


async def test_a_waiter_that_gives_up_holds_nobody_back() -> None:
    limiter = FairLimiter(1)
    user = await limiter.acquire()
    with pytest.raises(TimeoutError):
        await limiter.acquire(timeout_seconds=0.01)
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    limiter.release(user)
    # It is cancelled in the moment of being admitted.
    waiting[1].cancel()
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    limiter.release(await asyncio.wait_for(waiting[2], 1))
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_a_failed_try_acquire_takes_nothing() -> None:
    limiter = FairLimiter(1)
    assert limiter.try_acquire()
    assert not limiter.try_acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0)
    limiter.release("")
    # A waiter is not overtaken.
    assert not limiter.try_acquire()
    limiter.release(await waiting)
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_a_closed_wait_releases_nothing() -> None:
    limiter = FairLimiter(1)
    user = await limiter.acquire()
    first = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0)
    closed = limiter.acquire()
    closed.send(None)
    closed.close()
    await asyncio.sleep(0)
    assert (first.done(), limiter.in_use, limiter.waiting) == (False, 1, 1)
    limiter.release(user)
    limiter.release(await first)
    assert (limiter.in_use, limiter.waiting) == (0, 0)


async def test_random_cancellations_lose_no_unit() -> None:
    chance, limiter = random.Random(7), FairLimiter(5)  # noqa: S311 - any moments will do
    most = 0

    async def work() -> None:
        nonlocal most
        async with limiter.hold(chance.choice([0, 1, 1, 2])):
            most = max(most, limiter.in_use)
            await asyncio.sleep(chance.uniform(0, 0.002))

    async def impatient() -> None:
        try:
            async with asyncio.timeout(chance.uniform(0, 0.01)):
                await work()
        except TimeoutError:
            pass

    await asyncio.gather(*(as_user(f"user {chance.randrange(4)}", impatient) for _ in range(2_000)))
    assert (limiter.in_use, limiter.waiting) == (0, 0)
    assert 4 <= most <= 6


async def test_round_robin_serves_users_in_turn() -> None:
    waiting: RoundRobin[str] = RoundRobin()
    assert not waiting
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        served_user.set(item[0])
        waiting.add(item)
    assert waiting.next == "a1"
    assert [waiting.take() for _ in range(6)] == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert not waiting
