"""Process limits: open files, garbage collection and memory of a process that serves for long (ADR 0034)."""

import asyncio
import ctypes
import gc
import resource
import sys

MAX_CONNECTIONS = 4096
"""Callers that may be connected at once. Each is an open file; so are the connections to the database."""

_OTHER_FILES = 512
_TRIM_SECONDS = 5.0
# Objects beyond those that ended meanwhile, after which the youngest are collected. Python's 700 are those of two calls
# in progress: all of them are looked at again and again, and nothing is found.
_YOUNG_OBJECTS = 2_000


def connections_to_serve() -> int:
    """Returns how many callers may be connected at once, and raises the process's limit of open files to fit.

    Without a bound, idle connections use up every file: no other caller is served, and no lost connection to the
    database is replaced.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MAX_CONNECTIONS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(allowed - _OTHER_FILES, allowed // 2)


def freeze_heap() -> None:
    """Excludes every object that exists now from later garbage collections: modules and tables live for ever.

    A collection that walks through them delays every call by a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


async def run_memory_trimmer() -> None:
    """Returns free memory of the allocator to the system every few seconds, until cancelled.

    glibc keeps what a burst of calls has used. Ends at once where the allocator is not glibc's.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    while trim is not None:
        await asyncio.sleep(_TRIM_SECONDS)
        # In a thread: it takes milliseconds where much is free.
        await asyncio.to_thread(trim, 0)
