"""Asks together what many want to know at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Answer = TypeVar("Answer")


class BatchedLookup(Generic[Key, Answer]):
    """While one question is under way, all keys that are asked for wait for the next. Belongs to one event loop."""

    def __init__(self, ask: Callable[[Collection[Key]], Awaitable[Mapping[Key, Answer]]]) -> None:
        """Takes what answers a question for several keys, and leaves out those without an answer."""
        self._ask = ask
        self._wanted: dict[Key, asyncio.Future[Answer | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def answer(self, key: Key) -> Answer | None:
        """Returns the answer for a key, None where there is none. Raises what the question does."""
        wanted = self._wanted.get(key)
        if wanted is None:
            wanted = self._wanted[key] = asyncio.get_running_loop().create_future()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        # Who leaves does not take the answer from the others.
        return await asyncio.shield(wanted)

    async def _ask_all(self) -> None:
        try:
            while self._wanted:
                wanted, self._wanted = self._wanted, {}
                try:
                    answers = await self._ask(list(wanted))
                except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                    for one in wanted.values():
                        one.set_exception(error)
                        # Taken, so that it counts as seen even where everybody has left.
                        one.exception()
                else:
                    for key, one in wanted.items():
                        one.set_result(answers.get(key))
        finally:
            self._asking = None
