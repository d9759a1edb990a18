"""What a process that serves for long does about its memory."""

import asyncio
import ctypes
import gc
import sys

_RETURN_SECONDS = 5.0


def freeze() -> None:
    """Leaves what there is by now out of every later collection: modules and tables, that never become garbage.

    A collection that goes through them holds every call back for a tenth of a second.
    """
    gc.collect()
    gc.freeze()


async def run_memory_trimmer() -> None:
    """Runs until cancelled: gives the system what a burst has left with the allocator, which keeps it otherwise.

    Ends at once where the allocator is not glibc's.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    while trim is not None:
        await asyncio.sleep(_RETURN_SECONDS)
        # In a thread: where there is much, it takes milliseconds.
        await asyncio.to_thread(trim, 0)
