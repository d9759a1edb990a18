"""Imported traces since they were stored: those whose encoding is pending, and those deleted meanwhile."""

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
# Names of gRPC codes: an exhausted quota, a server that restarts.
_TRANSIENT_CODES = {"RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}
STALL_SECONDS = 60.0
"""Waiting ends when no trace gets its vector for this many seconds."""


class ImportedTraces:
    """Traces whose encoding may be pending, by line, in 24 bytes each, because there may be millions."""

    def __init__(self) -> None:
        self.deleted: dict[int, UUID] = {}
        """Traces deleted since they were stored, by line."""
        self._lines = array("q")
        self._ids = bytearray()

    def add(self, line: int, trace_id: str) -> None:
        """Adds the trace that a line created, or of which it is a duplicate."""
        self._lines.append(line)
        self._ids += UUID(trace_id).bytes

    @property
    def waiting(self) -> int:
        """Count of traces without a vector, as of the last `refresh`."""
        return len(self._lines)

    async def refresh(self, client: "Client") -> None:
        """Fetches all traces and keeps those whose encoding is pending; the deleted ones go to `deleted`.

        Raises CallFailed, after which the traces not fetched yet are kept, too.
        """
        pending, fetched = ImportedTraces(), 0
        try:
            for lines, ids in self._batches():
                for line, trace_id, trace in zip(lines, ids, await client.get_many(ids, full=False), strict=True):
                    if trace is None:
                        self.deleted[line] = trace_id
                    elif is_encoding_pending(trace):
                        pending.add(line, trace.id)
                fetched += len(lines)
        finally:
            self._lines = pending._lines + self._lines[fetched:]
            self._ids = pending._ids + self._ids[fetched * _ID_BYTES :]

    async def wait(self, client: "Client", advance: Callable[[int, int | None], None]) -> None:
        """Refreshes until no trace waits, or none got its vector for STALL_SECONDS. Raises CallFailed.

        `advance` takes the number of encoded traces and the number of all.
        """
        import asyncio

        from commontrace.client import CallFailed

        total, fewest, last_progress = self.waiting, self.waiting, time.monotonic()
        while True:
            pause = _PAUSE_SECONDS
            try:
                await self.refresh(client)
            except CallFailed as error:
                if error.code.name not in _TRANSIENT_CODES:
                    raise
                pause = error.retry_after or pause
                last_progress += pause
            advance(total - self.waiting, total)
            if self.waiting < fewest:
                fewest, last_progress = self.waiting, time.monotonic()
            if not self.waiting or time.monotonic() - last_progress > STALL_SECONDS:
                return
            await asyncio.sleep(pause)

    def _batches(self) -> Iterator[tuple["array[int]", list[UUID]]]:
        for start in range(0, len(self._lines), _TRACES_A_CALL):
            lines = self._lines[start : start + _TRACES_A_CALL]
            offsets = range(start * _ID_BYTES, (start + len(lines)) * _ID_BYTES, _ID_BYTES)
            yield lines, [UUID(bytes=bytes(self._ids[offset : offset + _ID_BYTES])) for offset in offsets]
