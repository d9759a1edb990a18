"""Pages of a list: as many items as requested, or as fit into a response."""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from commontrace.rpc.paging.response_budget import ResponseBudget

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item", bound=Message)

# Bounds the memory of rows where each is as large as a trace can be.
_ROWS_PER_FETCH = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[Key, Item]):
    """The items of a page, and the key behind which the next page begins."""

    items: list[Item]
    next_after: Key | None
    """The last key that was fetched, None if no key is left."""


def first_that_fit(items: Iterable[Item]) -> list[Item]:
    """Returns the first items, as many as fit into a response, but at least one: an empty page would end the list."""
    taken: list[Item] = []
    budget = ResponseBudget()
    for item in items:
        if not budget.take(item) and taken:
            break
        taken.append(item)
    return taken


async def fill_page(
    keys: Sequence[Key], size: int, fetch: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Item]]]
) -> Page[Key, Item]:
    """Returns a page of the items of the first `size` keys, or of fewer if more would not fit into a response.

    More keys than `size` mean that another page follows. Keys that `fetch` does not return are skipped. A single item
    always fits.
    """
    items: list[Item] = []
    last: Key | None = None
    budget = ResponseBudget()
    for start in range(0, min(size, len(keys)), _ROWS_PER_FETCH):
        some = keys[start : min(start + _ROWS_PER_FETCH, size)]
        found = await fetch(some)
        for key in some:
            if key in found:
                if not budget.take(found[key]):
                    return Page(items=items, next_after=last)
                items.append(found[key])
            last = key
    return Page(items=items, next_after=last if len(keys) > size else None)
