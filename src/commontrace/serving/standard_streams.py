"""Standard output and error of a process that serves: no write to them fails, and none waits (ADR 0044)."""

import io
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from select import select
from typing import IO, Any

# What a reader who is slow may leave unread: some thousand lines.
_WAITING_BYTES = 1 << 20
# At the end of the process, for what has not been written yet.
_PATIENCE_SECONDS = 1.0
_DESCRIPTORS = (0, 1, 2)
_NEWLINE = ord("\n")


class _Drops:
    """Counts the lines that could not be written."""

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
def never_failing() -> Iterator[None]:
    """While the block runs, `sys.stdout` and `sys.stderr` take every line at once, and drop those they cannot write.

    A thread of each writes: to a full disk, to a closed descriptor and to a pipe whose reader is gone in vain, to one
    that nobody reads when somebody does.
    """
    _occupy_closed_descriptors()
    before = sys.stdout, sys.stderr
    # Python's own are None where their descriptors were closed, whatever stands for them by now.
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
    # A socket would get the number, and with it what libraries write to standard error.
    for descriptor in _DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            # Gets the lowest number that is free.
            os.open(os.devnull, os.O_RDWR)


def _text_to(queue: "_LineQueue") -> io.TextIOWrapper:
    # The C locale's encodings would fail for some texts.
    return io.TextIOWrapper(queue, "utf-8", "backslashreplace", line_buffering=True)  # type: ignore[arg-type] # raw, as Python's own with -u


class _LineQueue(io.RawIOBase):
    """Lines on their way to a stream, or to nowhere where its descriptor was closed when Python started."""

    def __init__(self, stream: IO[str] | None) -> None:
        self._stream = stream
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._is_within_line = self._has_failed = False
        # Reentrant: what the garbage collector finds may be told on standard error at any time.
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
        """Takes it, or drops it where too much waits."""
        lines = bytes(data)
        with self._changed:
            if self._size + len(lines) > _WAITING_BYTES:
                _drops.add(_count(lines))
            else:
                self._size += len(lines)
                self._waiting.append(lines)
                self._changed.notify_all()
        return len(lines)

    def finish(self) -> None:
        """Returns when all is written, or when somebody has had the time to read it and has not."""
        with self._changed:
            self._changed.wait_for(lambda: self._size == 0, _PATIENCE_SECONDS)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                lines = self._waiting.popleft()
            try:
                self._write_through(lines)
            except (OSError, ValueError):
                # A ValueError is how Python says that a stream is closed.
                _drops.add(_count(lines))
                self._has_failed = True
            with self._changed:
                self._size -= len(lines)
                self._changed.notify_all()

    def _write_through(self, lines: bytes) -> None:
        if self._stream is None:
            raise ValueError("standard output or error is closed")
        # A disk that becomes full takes the beginning of a line: the next one must not continue it.
        if self._has_failed and self._is_within_line and not lines.startswith(b"\n"):
            lines = b"\n" + lines
        # Not its buffer, which would keep what fails and try again at the end of the process.
        raw: Any = getattr(self._stream.buffer, "raw", self._stream.buffer)  # type: ignore[attr-defined] # of a TextIO
        left = memoryview(lines)
        while left:
            written = raw.write(left)
            if written is None:
                # Who started this process has made the descriptor one that does not wait.
                select([], [raw], [])
            else:
                self._is_within_line = left[written - 1] != _NEWLINE
                left = left[written:]
        self._has_failed = False


def _count(lines: bytes) -> int:
    return max(1, lines.count(b"\n"))
