"""Size of the embedded Postgres' shared buffers, by the memory of the machine or container (ADR 0049)."""

import os
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MEGABYTE = 1 << 20
_UNITS = {"MB": 1, "GB": 1024}
_LEAST, _MOST = 16, 2048
_MOST_SET = 1 << 20
_SHARE = 8


def default_megabytes() -> int:
    """Returns the megabytes for this machine or container: an eighth of its memory, from 16 to 2,048."""
    return max(_LEAST, min(_MOST, available_bytes() // _SHARE // _MEGABYTE))


def parse_megabytes(size: str) -> int:
    """Returns the megabytes of a size such as 512MB or 2GB. Raises ValueError."""
    spelled = re.fullmatch(r"([0-9]{1,7}) ?(MB|GB)", size)
    number = int(spelled[1]) * _UNITS[spelled[2]] if spelled else 0
    if not _LEAST <= number <= _MOST_SET:
        raise ValueError(f"must be a size from {_LEAST}MB to {_MOST_SET // 1024}GB, such as 512MB or 2GB")
    return number


def next_smaller(size: int) -> int | None:
    """Returns the megabytes to try after the system refused `size`, None at the minimum."""
    return max(size // 4, _LEAST) if size > _LEAST else None


def available_bytes(root: Path = Path("/")) -> int:
    """Returns the bytes of memory that this process and its children may use: the least of all limits.

    `root` is the directory of `proc` and `sys`.
    """
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_of_this_process(), *_of_groups(root)])


def _of_this_process() -> Iterator[int]:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        yield soft


def _of_groups(root: Path) -> Iterator[int]:
    """Yields the memory limits of this process' control groups (version 1 and 2) and of their parents.

    In a container, the paths may be those of the host: then they do not exist here, and the container's own limit is at
    the top.
    """
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = (groups / "memory", "memory.limit_in_bytes") if controllers else (groups, "memory.max")
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        for depth in range(len(parts) + 1):
            limit = _read(top.joinpath(*parts[:depth], name)).strip()
            # "max" means no limit.
            if limit.isdecimal():
                yield int(limit)


def _read(file: Path) -> str:
    with suppress(OSError, UnicodeError):
        return file.read_text(encoding="utf-8")
    return ""
