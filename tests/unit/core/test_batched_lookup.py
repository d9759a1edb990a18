"""Questions that are asked together."""

import asyncio
from collections.abc import Collection

import pytest

from commontrace.core.keys.batched_lookup import BatchedLookup


class Slow:
    """Answers with the number doubled, when it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.go_on = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self, keys: Collection[int]) -> dict[int, int]:
        self.asked.append(list(keys))
        await self.go_on.wait()
        if self.failure is not None:
            raise self.failure
        return {key: 2 * key for key in keys if key > 0}


async def test_what_is_asked_meanwhile_is_asked_together() -> None:
    slow = Slow()
    lookup = BatchedLookup(slow)
    answers = [asyncio.create_task(lookup.get(key)) for key in (1, 1)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answers += [asyncio.create_task(lookup.get(key)) for key in (1, 2, 3, 2, -1)]
    await asyncio.sleep(0)
    slow.go_on.set()
    assert await asyncio.gather(*answers) == [2, 2, 2, 4, 6, 4, None]
    # Whoever asked after a question had begun is told what was true later.
    assert slow.asked == [[1], [1, 2, 3, -1]]
    assert await lookup.get(4) == 8


async def test_who_leaves_takes_no_answer_from_others() -> None:
    slow = Slow()
    lookup = BatchedLookup(slow)
    leaving, staying = (asyncio.create_task(lookup.get(1)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    slow.go_on.set()
    assert await staying == 2


async def test_a_failure_is_told_to_all_who_asked_and_nobody_else() -> None:
    slow = Slow()
    lookup = BatchedLookup(slow)
    slow.failure = ConnectionError("away")
    slow.go_on.set()
    for answer in await asyncio.gather(lookup.get(1), lookup.get(2), return_exceptions=True):
        assert isinstance(answer, ConnectionError)
    slow.failure = None
    assert await lookup.get(1) == 2
    slow.go_on.clear()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(lookup.get(3), 0.01)
    slow.go_on.set()
    assert await lookup.get(3) == 6
