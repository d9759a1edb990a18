"""Batched lookups."""

import asyncio
from collections.abc import Collection

import pytest

from commontrace.core.keys.batched_lookup import BatchedLookup


class Slow:
    """Returns each number doubled, once its gate is open."""

    def __init__(self) -> None:
        self.queries: list[list[int]] = []
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self, keys: Collection[int]) -> dict[int, int]:
        self.queries.append(list(keys))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return {key: 2 * key for key in keys if key > 0}


async def test_keys_asked_for_during_a_query_share_the_next_one() -> None:
    slow = Slow()
    lookup = BatchedLookup(slow)
    answers = [asyncio.create_task(lookup.get(key)) for key in (1, 1)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answers += [asyncio.create_task(lookup.get(key)) for key in (1, 2, 3, 2, -1)]
    await asyncio.sleep(0)
    slow.gate.set()
    assert await asyncio.gather(*answers) == [2, 2, 2, 4, 6, 4, None]
    # Callers that came during the first query got the later state.
    assert slow.queries == [[1], [1, 2, 3, -1]]
    assert await lookup.get(4) == 8


async def test_a_cancelled_caller_leaves_the_others_undisturbed() -> None:
    slow = Slow()
    lookup = BatchedLookup(slow)
    leaving, staying = (asyncio.create_task(lookup.get(1)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    slow.gate.set()
    assert await staying == 2


async def test_a_failure_reaches_all_who_wait_and_no_later_caller() -> None:
    slow = Slow()
    lookup = BatchedLookup(slow)
    slow.failure = ConnectionError("away")
    slow.gate.set()
    for answer in await asyncio.gather(lookup.get(1), lookup.get(2), return_exceptions=True):
        assert isinstance(answer, ConnectionError)
    slow.failure = None
    assert await lookup.get(1) == 2
    slow.gate.clear()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(lookup.get(3), 0.01)
    slow.gate.set()
    assert await lookup.get(3) == 6
