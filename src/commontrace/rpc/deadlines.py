"""The caller's deadline as work has to keep it."""

import asyncio

from commontrace.domain.deadline import NEVER, Deadline
from commontrace.rpc.call import Context

# A summary sent at the deadline is one that the caller never sees.
_ANSWERING_SECONDS = 0.05


def deadline_of(context: Context) -> Deadline:
    """Returns when the work must be over for the answer to arrive in time."""
    remaining = context.time_remaining()
    if remaining is None:
        return NEVER
    return Deadline(at=asyncio.get_running_loop().time() + remaining - _ANSWERING_SECONDS)
