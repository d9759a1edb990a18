"""Processor time of processes, read from Linux's /proc."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench.failures import RunFailed

MAIN = "event loop"

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class _Stat(NamedTuple):
    name: str
    parent: int
    own_ticks: int
    ticks: int
    """Of the process itself, all its threads, and the children that it outlived and waited for."""


def seconds_of(processes: Mapping[str, int]) -> dict[str, float]:
    """Returns the seconds that processes, given by id, have used together with their children. Raises RunFailed."""
    stats = [stat for directory in Path("/proc").glob("[0-9]*") if (stat := _stat(directory))]
    used = {}
    for name, process_id in processes.items():
        own = _stat(Path("/proc") / str(process_id))
        if own is None:
            raise RunFailed(f"the {name} has ended")
        ticks = own.ticks + sum(stat.ticks for stat in stats if stat.parent == process_id)
        used[name] = ticks / _TICKS_A_SECOND
    return used


def seconds_by_thread(process_id: int) -> dict[str, float]:
    """Returns the seconds that the threads of a process have used, by name, `MAIN` the first. Raises RunFailed."""
    used: dict[str, float] = {}
    for directory in (Path("/proc") / str(process_id) / "task").glob("*"):
        if (stat := _stat(directory)) is not None:
            name = MAIN if directory.name == str(process_id) else stat.name
            used[name] = used.get(name, 0) + stat.own_ticks / _TICKS_A_SECOND
    if MAIN not in used:
        raise RunFailed("the server has ended")
    return used


def _stat(directory: Path) -> _Stat | None:
    """Returns None for a process that has ended meanwhile."""
    try:
        # The name, in parentheses, may hold anything; what is behind it are numbers. See proc(5).
        name, _, behind = (directory / "stat").read_text(errors="replace").partition("(")[2].rpartition(")")
    except OSError:
        return None
    fields = behind.split()
    return _Stat(
        name=name, parent=int(fields[1]), own_ticks=sum(map(int, fields[11:13])), ticks=sum(map(int, fields[11:15]))
    )
