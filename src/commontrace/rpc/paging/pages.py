"""Pages of a list: as many items as were asked for, or as many as fit into a response."""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from commontrace.rpc.paging.response_budget import ResponseBudget

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item", bound=Message)

# Few enough that their rows are no burden where each is as large as a trace can be.
_ROWS_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[Key, Item]):
    """Some items, and where they ended."""

    items: list[Item]
    next_after: Key | None
    """The last key looked at, None if no key is left."""


def fitting(items: Iterable[Item]) -> list[Item]:
    """Returns the first items, as many as fit into a response, one at least: an empty page would lead nowhere."""
    taken: list[Item] = []
    budget = ResponseBudget()
    for item in items:
        if not budget.take(item) and taken:
            break
        taken.append(item)
    return taken


async def filled(
    keys: Sequence[Key], size: int, fetch: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Item]]]
) -> Page[Key, Item]:
    """Returns the items of the first `size` keys, or of fewer if they would not fit into a response.

    Further keys tell that more pages follow. What `fetch` does not return is left out. One item always fits.
    """
    items: list[Item] = []
    last: Key | None = None
    budget = ResponseBudget()
    for start in range(0, min(size, len(keys)), _ROWS_AT_ONCE):
        some = keys[start : min(start + _ROWS_AT_ONCE, size)]
        found = await fetch(some)
        for key in some:
            if key in found:
                if not budget.take(found[key]):
                    return Page(items=items, next_after=last)
                items.append(found[key])
            last = key
    return Page(items=items, next_after=last if len(keys) > size else None)
