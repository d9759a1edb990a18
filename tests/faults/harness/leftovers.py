"""Leaks of calls: connections, half-written transactions, memory."""

import asyncio
from contextlib import suppress

import grpc

from tests.contract.callers import caller
from tests.contract.calls import call
from tests.contract.errors.error_row import CAST_VOTE, GET, SEARCH, VALID
from tests.faults.harness.beside import Beside
from tests.faults.server_process import ServerProcess

_QUIET_SECONDS = 1.0
BUSY_SECONDS = 12.0
"""More than any statement or transaction of the server may take."""
_LOCK_SECONDS = 1.5
"""Less than a statement of the server waits for a lock."""

# A transaction writes all of this.
_HALF_WRITTEN = """
    SELECT count(*) FROM traces WHERE title LIKE 'Cancelled %' AND (
        (SELECT count(*) FROM trace_revisions WHERE trace_id = traces.id) <> revision
        OR (SELECT count(*) FROM trace_tags WHERE trace_id = traces.id) <> 2
        OR (SELECT count(*) FROM trace_events WHERE trace_id = traces.id AND event_type = 'created') <> 1
        OR (embedding IS NULL) <> EXISTS (SELECT FROM encoding_jobs WHERE trace_id = traces.id)
        OR confirmation_count <> (SELECT count(*) FROM votes
            WHERE trace_id = traces.id AND votes.revision = traces.revision AND vote_type = 'up')
        OR down_count <> (SELECT count(*) FROM votes
            WHERE trace_id = traces.id AND votes.revision = traces.revision AND vote_type = 'down'))"""


async def leaked_connections(channel: grpc.aio.Channel, database: Beside, pool_size: int) -> int:
    """Returns how many connections the server can no longer use, of `pool_size` of each of its three kinds.

    Of each kind, one user alone gets three quarters: the channel's users are as many as ask.
    """
    leaked = 0
    for rpc in (GET, SEARCH, CAST_VOTE):
        payload = VALID[rpc].SerializeToString()
        async with database.locked("traces"):
            calls = [
                asyncio.create_task(call(channel, rpc, payload, caller(number))) for number in range(2 * pool_size)
            ]
            leaked += pool_size - await database.until_waiting(pool_size, _LOCK_SECONDS)
        await asyncio.gather(*calls)
    return leaked


async def half_written(database: Beside) -> int:
    """Returns how many traces miss a part of what is written with them."""
    [[count]] = await database.ask(_HALF_WRITTEN)
    return int(count)


async def idle_memory(running: ServerProcess, database: Beside, *, busy_seconds: float = BUSY_SECONDS) -> int:
    """Returns the server's resident bytes when its calls are over and what they left has been collected."""
    # A connection may be leaked in the middle of a statement: it is counted, not waited for.
    with suppress(TimeoutError):
        async with asyncio.timeout(busy_seconds):
            while await database.busy():  # noqa: ASYNC110 - it is another process that becomes idle
                await asyncio.sleep(0.05)
    await asyncio.sleep(_QUIET_SECONDS)
    return running.resident_bytes
