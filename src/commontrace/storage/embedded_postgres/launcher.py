"""Launcher: a script that prepares its process and then becomes the given program by exec.

A separate process, because code between fork and exec is unsafe if the parent has threads.
Usage: launcher.py PARENT_PID PROGRAM [ARGUMENT ...]
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

NAMESPACE_REFUSED = 77
"""Exit status if Postgres refuses the user and no user namespace is allowed. The reason is on stderr."""

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
# The whole environment of Postgres: no PG*, LD_* or locale of the user (ADR 0051). With TZ, initdb does not search for
# the zone.
_ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}


def _enter_user_namespace() -> None:
    """Enters a user namespace as uid 1, because Postgres refuses root and users without a name. Raises OSError.

    For files and signals the user stays the same, so no file changes its owner; after exec it has no privileges.
    """
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"1 {user} 1")
    Path("/proc/self/gid_map").write_text(f"1 {group} 1")


def _has_name(user: int) -> bool:
    # Windows, which `start` refuses, has no such module.
    import pwd

    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _die_with(parent: int) -> None:
    """Requests SIGINT, a fast shutdown, from the kernel when the thread that started this process ends."""
    # Python's handler would lose a signal that arrives just before exec.
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
    # Last: a change of credentials clears it.
    _die_with(parent)
    try:
        os.execve(program, [program, *arguments], _ENVIRONMENT)  # noqa: S606 - it shall become that program
    except OSError as error:
        sys.exit(f"cannot run {program}: {error}")


if __name__ == "__main__":
    launch(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
