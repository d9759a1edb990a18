"""Non-blocking standard output and error: no write fails or waits, lines are dropped instead (ADR 0044)."""

import io
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from select import select
from typing import IO, Any

# Bytes that a slow reader may leave unread: some thousand lines.
_MAX_QUEUED_BYTES = 1 << 20
# The wait for queued lines at the end of the process.
_FLUSH_SECONDS = 1.0
# Lines of this time are written at once, the first one after a pause as soon as it comes.
_PAUSE_SECONDS = 0.02
_DESCRIPTORS = (0, 1, 2)
_NEWLINE = ord("\n")


class _Drops:
    """Counts the lines that were dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def add(self, lines: int) -> None:
        with self._lock:
            self.count += lines


_drops = _Drops()


def dropped_lines() -> int:
    """Returns how many lines this process has dropped since it started."""
    return _drops.count


@contextmanager
def non_blocking_streams() -> Iterator[None]:
    """Makes `sys.stdout` and `sys.stderr` non-blocking while the block runs.

    A thread for each writes the lines. It drops them on a full disk, a closed descriptor and a pipe without a reader,
    and waits for a reader that is slow.
    """
    _occupy_closed_descriptors()
    before = sys.stdout, sys.stderr
    # Python's own streams are None where their descriptors were closed, even if the names were set since.
    queues = [
        _LineQueue(stream if is_open else None)
        for stream, is_open in zip(before, (sys.__stdout__, sys.__stderr__), strict=True)
    ]
    sys.stdout, sys.stderr = map(_text_to, queues)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for queue in queues:
            queue.finish()


def _occupy_closed_descriptors() -> None:
    # A socket would get the number of a closed one, and so the output of libraries on standard error.
    for descriptor in _DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            # POSIX gives the lowest free number.
            os.open(os.devnull, os.O_RDWR)


def _text_to(queue: "_LineQueue") -> io.TextIOWrapper:
    # The encoding of the C locale fails for some texts.
    return io.TextIOWrapper(queue, "utf-8", "backslashreplace", line_buffering=True)  # type: ignore[arg-type] # raw, as Python's own with -u


class _LineQueue(io.RawIOBase):
    """A queue of lines and the thread that writes them. Without a stream (its descriptor was closed), drops them."""

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._is_within_line = self._has_failed = False
        # Reentrant: the garbage collector may write a warning to standard error at any time.
        self._changed = threading.Condition(threading.RLock())
        threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def write(self, data: Any) -> int:
        """Queues the lines, or drops them where the queue is full."""
        lines = bytes(data)
        with self._changed:
            if self._size + len(lines) > _MAX_QUEUED_BYTES:
                _drops.add(_count(lines))
            else:
                self._size += len(lines)
                self._waiting.append(lines)
                self._changed.notify_all()
        return len(lines)

    def finish(self) -> None:
        """Returns when the queue is written, or after a second."""
        with self._changed:
            self._changed.wait_for(lambda: self._size == 0, _FLUSH_SECONDS)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                lines = self._waiting.popleft()
            try:
                self._write_through(lines)
            except (OSError, ValueError):
                # ValueError: the stream is closed.
                _drops.add(_count(lines))
                self._has_failed = True
            with self._changed:
                self._size -= len(lines)
                self._changed.notify_all()
                is_empty = not self._waiting
            # Lines that are dropped are counted at once.
            if is_empty and not self._has_failed:
                # Woken up for each line, this thread would take the interpreter from the event loop as often.
                time.sleep(_PAUSE_SECONDS)

    def _write_through(self, lines: bytes) -> None:
        if self._stream is None:
            raise ValueError("standard output or error is closed")
        # A disk that fills up takes the beginning of a line: the next line must not continue it.
        if self._has_failed and self._is_within_line and not lines.startswith(b"\n"):
            lines = b"\n" + lines
        # Not through the buffer, which would keep lines that fail and retry at the end of the process.
        raw: Any = getattr(self._stream.buffer, "raw", self._stream.buffer)  # type: ignore[attr-defined] # of a TextIO
        left = memoryview(lines)
        while left:
            written = raw.write(left)
            if written is None:
                # The parent process has made the descriptor non-blocking.
                select([], [raw], [])
            else:
                self._is_within_line = left[written - 1] != _NEWLINE
                left = left[written:]
        self._has_failed = False


def _count(lines: bytes) -> int:
    return max(1, lines.count(b"\n"))
