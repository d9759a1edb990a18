# ruff: noqa: T201 - printing is what is tested
import io
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from commontrace.serving.standard_streams import dropped_lines, never_failing

LINE = "x" * 99


@contextmanager
def standard_error(descriptor: int) -> Iterator[None]:
    """Standard error is what the descriptor leads to."""
    with (
        io.TextIOWrapper(os.fdopen(descriptor, "wb", buffering=0), write_through=True) as stream,
        patch.object(sys, "stderr", stream),
    ):
        yield


def test_lines_arrive_in_order_and_whole() -> None:
    reading, writing = os.pipe()
    with standard_error(writing), never_failing():
        for number in range(100):
            print(number, file=sys.stderr)
    with os.fdopen(reading) as lines:
        assert lines.read().split() == [str(number) for number in range(100)]


def test_what_nobody_reads_is_dropped_beyond_a_bound_and_written_when_somebody_does() -> None:
    reading, writing = os.pipe()
    before, began, count = dropped_lines(), time.perf_counter(), 20_000
    with standard_error(writing), never_failing():
        for _ in range(count):
            print(LINE, file=sys.stderr)
        dropped = dropped_lines() - before
        assert 0 < dropped < count
        size = 0
        while size < (count - dropped) * (len(LINE) + 1):
            size += len(os.read(reading, 1 << 16))
        print("again", file=sys.stderr)
    assert os.read(reading, 100) == b"again\n"
    os.close(reading)
    assert time.perf_counter() - began < 10


def test_the_end_does_not_wait_for_ever_for_a_reader() -> None:
    reading, writing = os.pipe()
    before, began = dropped_lines(), time.perf_counter()
    stream = os.fdopen(os.dup(writing), "w")
    with patch.object(sys, "stderr", stream), never_failing():
        print(LINE * 10_000, file=sys.stderr)
    assert time.perf_counter() - began < 5
    assert dropped_lines() == before
    # What still waits in the thread ends with the reader: the text, and the end of its line.
    os.close(reading)
    os.close(writing)
    while dropped_lines() < before + 2:
        time.sleep(0.01)
    assert dropped_lines() == before + 2


def test_a_descriptor_that_does_not_wait_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before, text = dropped_lines(), LINE * 5000
    with standard_error(writing), never_failing():
        print(text, file=sys.stderr)
        size = 0
        while size <= len(text):
            select.select([reading], [], [])
            size += len(os.read(reading, 1 << 16))
    os.close(reading)
    assert dropped_lines() == before


def test_failures_to_write_are_counted_by_line() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    before = dropped_lines()
    with standard_error(writing), never_failing():
        print("one\ntwo", file=sys.stderr)
        print("three \udc80", file=sys.stderr)
    assert dropped_lines() - before == 3


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process may become larger, as on a disk that becomes full; Python ignores the signal."""
    assert signal.getsignal(signal.SIGXFSZ) is signal.SIG_IGN
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Beyond 8 KiB, Python writes the text and the end of its line apart.
@pytest.mark.parametrize("text", ["x" * 99, "x" * 10_000, "x\n" * 49 + "x"], ids=["a line", "a long line", "lines"])
@pytest.mark.parametrize("missing", [1, 2, 50])
def test_no_line_continues_one_that_a_full_disk_cut_short(tmp_path: Path, text: str, missing: int) -> None:
    log, before, whole = tmp_path / "log", dropped_lines(), f"{text}\n".encode()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with standard_error(descriptor), room_for(len(whole) - missing), never_failing():
        print(text, file=sys.stderr)
        print("dropped", file=sys.stderr)
        sys.stderr.buffer.finish()  # type: ignore[union-attr] # of ours
        assert dropped_lines() >= before + 2
        resource.setrlimit(resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE)[1:] * 2)
        print("after", file=sys.stderr)
        print("last", file=sys.stderr)
    *cut, after, last = log.read_bytes().splitlines()
    assert (after, last) == (b"after", b"last")
    assert whole.startswith(b"\n".join(cut))
    assert b"" not in cut


def test_a_stream_that_was_closed_at_the_start_takes_lines_and_counts_them() -> None:
    before = dropped_lines()
    with patch.object(sys, "__stdout__", None), never_failing():
        print("ready", flush=True)
        assert not sys.stdout.isatty()
    assert dropped_lines() - before == 1
