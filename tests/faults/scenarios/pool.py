"""Every database connection is held: what callers hear, how soon, and what the health service says meanwhile."""

import asyncio
from random import Random

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2

from commontrace.v1.trace_service_pb2 import DESCRIPTOR
from tests.contract.calls import call
from tests.contract.errors.error_promises import details
from tests.contract.errors.error_row import CAST_VOTE, GET, IMPORT, INFO, SEARCH, VALID, WATCH
from tests.faults.harness.beside import Beside, beside
from tests.faults.harness.callers import callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.servers import server
from tests.support.builders import health_of

_CALLS, _CALLS_A_ROUND = 500, 50
_SPREAD_SECONDS = 0.5
"""Over which the calls of a round are spread: at once, they would measure the processor."""
_POOL_SIZE = 2
_HOLDERS = (GET, SEARCH, CAST_VOTE)
"""One for each kind of connection."""
_POOL_TIMEOUT, _GRACE = 1.0, 0.05
_HEALTH_WITHIN = 1.0
# What a caller is and what a watcher is told at first is remembered. Imports wait for one another: where one is stored,
# the sender of the next one is held back by flow control.
_LEFT_OUT = {INFO, WATCH, IMPORT}
_SERVICES = ("", *(service.full_name for service in DESCRIPTOR.services_by_name.values()))
_BUSY = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}


async def measure(trial: Trial) -> list[Figure]:
    """Holds the connections by calls that wait for a lock, for as long as the server lets them."""
    random = Random(trial.seed)  # noqa: S311 - not a secret
    rpcs = [rpc for rpc in VALID if rpc not in _LEFT_OUT]
    took: list[tuple[float, str]] = []
    wrong: list[str] = []
    health: list[float] = []
    clock = asyncio.get_running_loop().time
    with server(trial, "pool timeout", DATABASE_POOL_SIZE=str(_POOL_SIZE)) as running:
        async with callers_of(running).channel(running.address) as channel, beside(running) as database:

            async def ask(rpc: str, freed: list[float]) -> None:
                await asyncio.sleep(random.uniform(0, _SPREAD_SECONDS))
                began = clock()
                error = await call(channel, rpc, VALID[rpc].SerializeToString())
                if freed and freed[0] - began <= _POOL_TIMEOUT:
                    return  # a connection became free in time
                took.append((clock() - began, rpc))
                if error is None or error.code() not in _BUSY or not details(error, error_details_pb2.RetryInfo):
                    wrong.append(f"{rpc}: {error.code() if error is not None else 'answered'}")

            for _ in range(trial.times(_CALLS) // _CALLS_A_ROUND or 1):
                async with database.locked("traces"):
                    held, freed = await _hold(channel, database)
                    asking = [asyncio.create_task(ask(random.choice(rpcs), freed)) for _ in range(_CALLS_A_ROUND)]
                    health += [await _seconds_to_serving(channel, service) for service in _SERVICES]
                    await asyncio.gather(*asking)
                    health += [await _seconds_to_serving(channel, service) for service in _SERVICES]
                await asyncio.gather(*held)
    late = sum(seconds > _POOL_TIMEOUT + _GRACE for seconds, _ in took)
    longest, slowest = max(took, default=(0.0, "none"))
    return [
        Figure(
            name="calls while all connections are held",
            target="all RESOURCE_EXHAUSTED or UNAVAILABLE with RetryInfo within the pool timeout + 50 ms",
            measured=f"{len(took) - len(wrong)} of {len(took)}; {late} later,"
            f" the last after {longest:.3f} s ({slowest})" + "".join(f"; {answer}" for answer in wrong[:3]),
            ok=bool(took) and not wrong and not late,
        ),
        Figure(
            name="health while all connections are held",
            target="SERVING within 1 s",
            measured=f"{max(health):.3f} s at most in {len(health)} answers",
            ok=max(health) <= _HEALTH_WITHIN,
        ),
    ]


async def _hold(channel: grpc.aio.Channel, database: Beside) -> tuple[list[asyncio.Task[object]], list[float]]:
    """Returns the calls that hold every connection, and when each gives it back, as soon as it has."""
    held: list[asyncio.Task[object]] = [
        asyncio.create_task(call(channel, rpc, VALID[rpc].SerializeToString()))
        for rpc in _HOLDERS
        for _ in range(_POOL_SIZE)
    ]
    freed: list[float] = []
    for holder in held:
        holder.add_done_callback(lambda _: freed.append(asyncio.get_running_loop().time()))
    assert await database.until_waiting(len(held), _POOL_TIMEOUT) == len(held)
    return held, freed


async def _seconds_to_serving(channel: grpc.aio.Channel, service: str) -> float:
    """Returns how long the answer took, infinity if it is not SERVING."""
    began = asyncio.get_running_loop().time()
    answer = await health_of(channel, service)
    took = asyncio.get_running_loop().time() - began
    return took if answer == health_pb2.HealthCheckResponse.SERVING else float("inf")
