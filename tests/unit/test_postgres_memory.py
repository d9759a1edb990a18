import os
import subprocess
import sys
from pathlib import Path

import pytest

from commontrace import postgres_memory
from commontrace.postgres_memory import available_bytes

WHOLE_MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
LIMIT = 256 << 20
NO_LIMIT_OF_VERSION_1 = str(0x7FFFFFFFFFFFF000)


def machine(root: Path, group: str, **limits: str) -> Path:
    """What a system says of the groups of a process; `__` stands for `/` in the names of files."""
    for name, text in {"proc__self__cgroup": group, **limits}.items():
        file = root / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("group", "limits"),
    [
        # A container, which sees its own group as the top.
        ("0::/\n", {"sys__fs__cgroup__memory.max": f"{LIMIT}\n"}),
        ("4:cpu:/\n3:cpuset,memory:/\n", {"sys__fs__cgroup__memory__memory.limit_in_bytes": f"{LIMIT}\n"}),
        # One that sees the path outside, where nothing is.
        ("0::/docker/1234\n", {"sys__fs__cgroup__memory.max": str(LIMIT)}),
        ("4:memory:/docker/12:34\n", {"sys__fs__cgroup__memory__memory.limit_in_bytes": str(LIMIT)}),
        ("0::/../../a\n", {"sys__fs__cgroup__a__memory.max": str(LIMIT)}),
        # A service of a system: the group that holds its own is the smaller one, or the larger.
        (
            "0::/system.slice/commontrace.service\n",
            {
                "sys__fs__cgroup__system.slice__memory.max": str(LIMIT),
                "sys__fs__cgroup__system.slice__commontrace.service__memory.max": "max\n",
            },
        ),
        (
            "0::/system.slice/commontrace.service\n",
            {
                "sys__fs__cgroup__system.slice__memory.max": str(2 * LIMIT),
                "sys__fs__cgroup__system.slice__commontrace.service__memory.max": str(LIMIT),
            },
        ),
        # Both versions beside each other.
        (
            "4:memory:/a\n0::/\n",
            {
                "sys__fs__cgroup__memory__memory.limit_in_bytes": NO_LIMIT_OF_VERSION_1,
                "sys__fs__cgroup__memory__a__memory.limit_in_bytes": str(LIMIT),
            },
        ),
    ],
)
def test_the_limit_of_a_group_counts(tmp_path: Path, group: str, limits: dict[str, str]) -> None:
    assert available_bytes(machine(tmp_path, group, **limits)) == LIMIT


@pytest.mark.parametrize(
    ("group", "limits"),
    [
        ("", {}),
        ("nonsense\n::\n0\n", {}),
        ("0::/\n", {"sys__fs__cgroup__memory.max": "max\n"}),
        ("0::/\n", {"sys__fs__cgroup__memory.max": "a lot"}),
        ("1:memory:/\n", {"sys__fs__cgroup__memory__memory.limit_in_bytes": NO_LIMIT_OF_VERSION_1}),
        ("4:cpu:/\n", {"sys__fs__cgroup__memory__memory.limit_in_bytes": str(LIMIT)}),
    ],
)
def test_without_a_limit_the_machine_counts(tmp_path: Path, group: str, limits: dict[str, str]) -> None:
    assert available_bytes(machine(tmp_path, group, **limits)) == WHOLE_MACHINE
    assert available_bytes(tmp_path / "another system") == WHOLE_MACHINE


def test_the_limit_of_a_process_counts() -> None:
    program = "from commontrace.postgres_memory import available_bytes; print(available_bytes())"
    limited = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -v {1 << 20}; exec {sys.executable} -c '{program}'"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(limited.stdout) == min(1 << 30, available_bytes())


@pytest.mark.parametrize(
    ("memory", "megabytes"), [(64, 16), (256, 32), (2048, 256), (8192, 1024), (65_536, 2048)], ids=str
)
def test_an_eighth_is_taken_within_bounds(memory: int, megabytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_memory, "available_bytes", lambda: memory << 20)
    assert postgres_memory.default_megabytes() == megabytes
