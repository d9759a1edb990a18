"""Time limits for waits that take none."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic


class Watchdog:
    """Ends a blocking wait that takes too long, from a thread of its own."""

    def __init__(self, end: Callable[[], object]) -> None:
        """Takes what ends the wait."""
        self.ended_after: float | None = None
        """After how many seconds a wait was ended, None if none was."""
        self._end = end
        self._seconds = 0.0
        self._until: float | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    @contextmanager
    def of(self, seconds: float) -> Iterator[None]:
        """Lets the block wait so many seconds."""
        with self._changed:
            self._seconds, self._until = seconds, monotonic() + seconds
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._until = None

    def close(self) -> None:
        """Lets the thread go."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while not self._is_closed:
                left = None if self._until is None else self._until - monotonic()
                if left is not None and left <= 0:
                    self.ended_after = self._seconds
                    break
                self._changed.wait(left)
        if self.ended_after is not None:
            self._end()
