"""Runs a command while nobody else runs one under the same lock: of two `make` in one checkout, one installs first.

Usage: alone.py LOCKED_FILE COMMAND [ARGUMENT ...]
"""

import fcntl
import os
import sys

lock = os.open(sys.argv[1], os.O_RDONLY)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("waiting for another make in this checkout to finish installing ...", file=sys.stderr, flush=True)
    fcntl.flock(lock, fcntl.LOCK_EX)
except OSError as error:
    # Some file systems on a network lock only what is open for writing.
    print(f"installing without a lock: {error.strerror}", file=sys.stderr, flush=True)
# The command has the lock until it ends, however it ends.
os.set_inheritable(lock, True)  # noqa: FBT003 - the library takes it no other way
os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - it shall become that program
