"""Memory that a burst has left is given back, and collections go through what is new alone."""

import asyncio
import gc
import os
from pathlib import Path

import pytest

from commontrace.serving import process_limits as memory
from tests.faults.harness.load import until

_BLOCK, _BLOCKS = 4096, 20_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_what_is_free_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_RETURN_SECONDS", 0.01)
    burst = [bytes(_BLOCK) for _ in range(_BLOCKS)]
    # As long as the last one is there, the allocator keeps what is below it.
    last = burst.pop()
    burst.clear()
    before = resident_bytes()
    returning = asyncio.create_task(memory.run_memory_trimmer())
    await until(lambda: before - resident_bytes() > _BLOCK * _BLOCKS / 2, seconds=10)
    returning.cancel()
    assert len(last) == _BLOCK


def test_what_is_there_is_left_out_of_collections() -> None:
    try:
        memory.freeze()
        assert not gc.get_objects()
    finally:
        gc.unfreeze()
