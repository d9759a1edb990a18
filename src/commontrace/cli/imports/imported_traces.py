"""What became of imported traces since they were stored: which wait for their vectors, and which are deleted."""

import time
from array import array
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from commontrace.cli.output.enum_labels import is_encoding_pending

if TYPE_CHECKING:
    from commontrace.client import Client

_ID_BYTES = 16
_TRACES_A_CALL = 100
_PAUSE_SECONDS = 0.5
# A quota that is used up, a server that restarts.
_PASSING = {"RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}
PATIENCE_SECONDS = 60.0
"""How long none may get its vector before waiting for the others ends."""


class ImportedTraces:
    """Traces to look at, by line: 24 bytes each, for there may be millions."""

    def __init__(self) -> None:
        self.deleted: dict[int, UUID] = {}
        """By line, those that were deleted since."""
        self._lines = array("q")
        self._ids = bytearray()

    def add(self, line: int, trace_id: str) -> None:
        """Adds the trace that a line became or was there already."""
        self._lines.append(line)
        self._ids += UUID(trace_id).bytes

    @property
    def waiting(self) -> int:
        """How many wait for their vectors, after `look`."""
        return len(self._lines)

    async def look(self, client: "Client") -> None:
        """Leaves out those that searches find by now, and those that are deleted. Raises CallFailed, in the midst."""
        left, looked_at = ImportedTraces(), 0
        try:
            for lines, ids in self._batches():
                for line, trace_id, trace in zip(lines, ids, await client.get_many(ids, full=False), strict=True):
                    if trace is None:
                        self.deleted[line] = trace_id
                    elif is_encoding_pending(trace):
                        left.add(line, trace.id)
                looked_at += len(lines)
        finally:
            self._lines = left._lines + self._lines[looked_at:]
            self._ids = left._ids + self._ids[looked_at * _ID_BYTES :]

    async def wait(self, client: "Client", advance: Callable[[int, int | None], None]) -> None:
        """Looks until none waits any more, or none got its vector for a minute. Raises CallFailed."""
        import asyncio

        from commontrace.client import CallFailed

        begun = time.monotonic()
        total, least, since = self.waiting, self.waiting, begun
        while True:
            pause = _PAUSE_SECONDS
            try:
                await self.look(client)
            except CallFailed as error:
                if error.code.name not in _PASSING:
                    raise
                pause = error.retry_after or pause
                since += pause
            advance(total - self.waiting, total)
            if self.waiting < least:
                least, since = self.waiting, time.monotonic()
            if not self.waiting or time.monotonic() - since > PATIENCE_SECONDS:
                return
            await asyncio.sleep(pause)

    def _batches(self) -> Iterator[tuple["array[int]", list[UUID]]]:
        for start in range(0, len(self._lines), _TRACES_A_CALL):
            lines = self._lines[start : start + _TRACES_A_CALL]
            places = range(start * _ID_BYTES, (start + len(lines)) * _ID_BYTES, _ID_BYTES)
            yield lines, [UUID(bytes=bytes(self._ids[place : place + _ID_BYTES])) for place in places]
