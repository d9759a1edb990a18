"""Process limits: memory of a burst is returned, garbage collection skips old objects, open files are raised."""

import asyncio
import gc
import os
import resource
from pathlib import Path

import pytest

from commontrace.serving import process_limits
from tests.faults.harness.load import until

_BLOCK, _BLOCKS = 4096, 20_000
_UNLIMITED = resource.RLIM_INFINITY


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_free_memory_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits, "_TRIM_SECONDS", 0.01)
    burst = [bytes(_BLOCK) for _ in range(_BLOCKS)]
    # As long as the last one is there, the allocator keeps what is below it.
    last = burst.pop()
    burst.clear()
    before = resident_bytes()
    returning = asyncio.create_task(process_limits.run_memory_trimmer())
    await until(lambda: before - resident_bytes() > _BLOCK * _BLOCKS / 2, seconds=10)
    returning.cancel()
    assert len(last) == _BLOCK


def test_old_objects_are_left_out_of_collections() -> None:
    thresholds = gc.get_threshold()
    try:
        process_limits.freeze_heap()
        assert not gc.get_objects()
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


@pytest.mark.parametrize(
    ("limits", "raised_to", "connections"),
    [
        ((1024, 20_000), 4608, 4096),
        ((1024, _UNLIMITED), 4608, 4096),
        ((1024, 1024), 1024, 512),
        ((256, 600), 600, 300),
        ((4608, 4608), 4608, 4096),
        ((_UNLIMITED, _UNLIMITED), _UNLIMITED, 4096),
    ],
)
def test_the_limit_of_open_files_is_raised_and_some_are_left_to_others(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], raised_to: int, connections: int
) -> None:
    is_now = [limits]
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: is_now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, changed: is_now.append(changed))
    assert process_limits.connections_to_serve() == connections
    assert is_now[-1] == (raised_to, limits[1])
