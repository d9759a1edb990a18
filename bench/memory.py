"""Memory of processes, read from Linux's /proc."""

from pathlib import Path


def bytes_of(process_id: int) -> int:
    """Returns the proportional set size of a process and its children: what they share counts once."""
    total = 0
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((directory / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            if process_id in (int(directory.name), parent):
                total += _proportional(directory)
        except OSError:
            # It has ended meanwhile.
            continue
    return total


def _proportional(directory: Path) -> int:
    lines = (directory / "smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
