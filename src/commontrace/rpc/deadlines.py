"""Deadline of a call's work: the call's own, less the time that its answer needs."""

import asyncio

from commontrace.domain.deadline import NEVER, Deadline
from commontrace.rpc.call import Context

# An answer sent at the deadline arrives too late.
_ANSWERING_SECONDS = 0.05


def deadline_of(context: Context) -> Deadline:
    """Returns the time at which the work must be done for the answer to arrive in time."""
    remaining = context.time_remaining()
    if remaining is None:
        return NEVER
    return Deadline(at=asyncio.get_running_loop().time() + remaining - _ANSWERING_SECONDS)
