"""Size limit of responses: no message exceeds 2 MiB, which every client can receive."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import Message

from commontrace.domain import limits

Item = TypeVar("Item", bound=Message)

# Tag and length of an item.
_ITEM_OVERHEAD_BYTES = 8
# The other fields of a message: a token, a summary, names of tags, a hundred error items.
_MESSAGE_OVERHEAD_BYTES = 16 * 1024


class ResponseBudget:
    """The bytes that are left in one response message."""

    def __init__(self) -> None:
        self._left = limits.RESPONSE_BYTES - _MESSAGE_OVERHEAD_BYTES

    def take(self, item: Message) -> bool:
        """Takes the bytes of an item if it still fits; returns whether it does."""
        size = item.ByteSize() + _ITEM_OVERHEAD_BYTES
        if size > self._left:
            return False
        self._left -= size
        return True


def split(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yields the items in runs that each fit into one response; no run for no items."""
    run: list[Item] = []
    budget = ResponseBudget()
    for item in items:
        if not budget.take(item):
            yield run
            run, budget = [], ResponseBudget()
            budget.take(item)
        run.append(item)
    if run:
        yield run
