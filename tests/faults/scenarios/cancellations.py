"""Calls that are cancelled at random moments: what they leave behind in the server and in its database."""

from random import Random

from tests.faults.harness.beside import beside
from tests.faults.harness.callers import callers_of
from tests.faults.harness.cancelled_calls import VOTERS, CancelledCalls
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.leftovers import BUSY_SECONDS, half_written, idle_memory, leaked_connections
from tests.faults.harness.servers import server

_CANCELLATIONS = 20_000
_AT_ONCE = 8
_POOL_SIZE = 4
_MEGABYTE = 1_000_000
_GROWTH = 5 * _MEGABYTE


async def measure(trial: Trial) -> list[Figure]:
    """Warms the server up with a quarter as many cancellations as are measured, a hundred at least."""
    random = Random(trial.seed)  # noqa: S311 - not a secret
    count = trial.times(_CANCELLATIONS)
    with server(trial, "transactions", DATABASE_POOL_SIZE=str(_POOL_SIZE)) as running:
        async with callers_of(running).channel(running.address, users=VOTERS) as channel, beside(running) as database:
            calls = CancelledCalls(channel, random)
            await calls.prepare()
            await calls.cancel(max(100, count // 4), at_once=_AT_ONCE)
            # Without protection, what has leaked stays busy; it is waited for at the end, where it is counted.
            before = await idle_memory(running, database, busy_seconds=BUSY_SECONDS if trial.protected else 1.0)
            await calls.cancel(count, at_once=_AT_ONCE)
            growth = await idle_memory(running, database) - before
            stuck = await database.end_stuck()
            leaked = await leaked_connections(channel, database, _POOL_SIZE)
            halves = await half_written(database)
            twice = await calls.repeat_all(database)
    return [
        Figure(
            name="connections leaked by cancellations",
            target="0",
            measured=f"{leaked} of {3 * _POOL_SIZE}, {stuck} of them busy, after {calls.counted}",
            ok=leaked == stuck == 0,
        ),
        Figure(
            name="transactions half-written by cancellations",
            target="0",
            measured=f"{halves} half-written, {twice} lost or doubled when all {len(calls.sent)} writes were repeated",
            ok=halves == twice == 0,
        ),
        Figure(
            name="memory growth by cancellations",
            target="at most 5 MB",
            measured=f"{growth / _MEGABYTE:+.1f} MB over {count:,} on a warmed server",
            ok=growth <= _GROWTH,
        ),
    ]
