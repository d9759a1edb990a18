"""Look-up of the process that listens on a port, in /proc: of one's own processes, or of all as root."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LISTENS = "0A"
_PROC = Path("/proc")


def listener_of(port: int) -> str:
    """Returns the process that listens on the port, such as `process 17 (commontrace)`, or `another process`."""
    sockets = {f"socket:[{inode}]" for inode in _listening_on(port)}
    for process in _PROC.glob("[0-9]*") if sockets else ():
        # It may have ended, or belong to another user.
        with suppress(OSError):
            if any(str(descriptor.readlink()) in sockets for descriptor in (process / "fd").iterdir()):
                return f"process {process.name} ({(process / 'comm').read_text(errors='replace').strip()})"
    return "another process"


def _listening_on(port: int) -> Iterator[str]:
    """Yields the inodes of listening sockets, from lines such as `0: 0100007F:C383 00000000:0000 0A ... inode`."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]
