"""The child of `embedded` before exec: run as a script, it becomes the program that it is given.

A process of its own because code between fork and exec is unsafe where the parent has threads.
Usage: embedded_launcher.py PARENT_PID PROGRAM [ARGUMENT ...]
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

NAMESPACE_REFUSED = 77
"""Exit status where Postgres takes no such user, and the user cannot become another; the reason is on stderr."""

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
# All that Postgres gets: nothing of the user's (PG*, LD_*, locale). TZ spares initdb its search for the zone.
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}


def _enter_user_namespace() -> None:
    """Becomes uid 1 in the eyes of this process, since Postgres refuses root and users without a name. Raises OSError.

    For files and signals it stays the user it was, so no file changes hands; after exec it has no privileges.
    """
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"1 {user} 1")
    Path("/proc/self/gid_map").write_text(f"1 {group} 1")


def _has_name(user: int) -> bool:
    # Windows, which is refused elsewhere, has no such module.
    import pwd

    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _die_with(parent: int) -> None:
    """Asks the kernel for SIGINT, a fast shutdown, when the thread that started this process ends."""
    # Python's own handler would swallow a signal that arrives just before exec.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGINT), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the owner died before its Postgres started")


def launch(parent: int, program: str, arguments: list[str]) -> NoReturn:
    """Replaces this process by `program`, or exits with the reason on stderr."""
    if os.geteuid() == 0 or not _has_name(os.geteuid()):
        try:
            if sys.platform != "linux":
                sys.exit(NAMESPACE_REFUSED)
            _enter_user_namespace()
        except OSError as error:
            sys.stderr.write(f"cannot enter a user namespace: {error}\n")
            sys.exit(NAMESPACE_REFUSED)
    # Last, because the kernel forgets it when credentials change.
    _die_with(parent)
    try:
        os.execve(program, [program, *arguments], _ENVIRONMENT)  # noqa: S606 - it shall become that program
    except OSError as error:
        sys.exit(f"cannot run {program}: {error}")


if __name__ == "__main__":
    launch(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
