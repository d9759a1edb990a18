"""Properties of the pages of every list."""

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from commontrace.domain import limits
from commontrace.rpc.paging import pages
from commontrace.v1 import trace_pb2

# The same examples in every run, however busy the machine.
stable = settings(derandomize=True, database=None, deadline=None)

_sizes = st.sampled_from([0, 1, 100_000, 400_000, None])


@settings(stable, max_examples=80)
@given(st.lists(_sizes, max_size=40), st.integers(1, 45))
def test_pages_hold_everything_once_and_end_only_where_they_must(sizes: list[int | None], size: int) -> None:
    # Items without a size were deleted meanwhile.
    items = {number: trace_pb2.Trace(title="x" * given) for number, given in enumerate(sizes) if given is not None}
    held: list[trace_pb2.Trace] = []

    async def fetch(keys: Sequence[int]) -> dict[int, trace_pb2.Trace]:
        assert len(keys) <= 16
        return {key: items[key] for key in keys if key in items}

    async def follow(first: int) -> None:
        page = await pages.fill_page(range(first, len(sizes))[: size + 1], size, fetch)
        held.extend(page.items)
        weight = sum(item.ByteSize() for item in page.items)
        assert weight <= limits.RESPONSE_BYTES
        if page.next_after is None:
            assert len(sizes) - first <= size
            return
        following = page.next_after + 1
        assert first < following <= first + size
        if following < first + size:
            assert weight + items[following].ByteSize() > limits.RESPONSE_BYTES - 20_000
        else:
            assert following < len(sizes)
        await follow(following)

    asyncio.run(follow(0))
    assert held == list(items.values())
