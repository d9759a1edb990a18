"""Watchdog timer for blocking waits that take no timeout."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic


class Watchdog:
    """Calls `end` from a thread of its own when a blocking wait exceeds its limit."""

    def __init__(self, end: Callable[[], object]) -> None:
        self.ended_after: float | None = None
        """The limit in seconds of the wait that was ended, None if none was."""
        self._end = end
        self._seconds = 0.0
        self._expires_at: float | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Limits the duration of the block to so many seconds."""
        with self._changed:
            self._seconds, self._expires_at = seconds, monotonic() + seconds
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._expires_at = None

    def close(self) -> None:
        """Ends the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while not self._is_closed:
                remaining = None if self._expires_at is None else self._expires_at - monotonic()
                if remaining is not None and remaining <= 0:
                    self.ended_after = self._seconds
                    break
                self._changed.wait(remaining)
        if self.ended_after is not None:
            self._end()
