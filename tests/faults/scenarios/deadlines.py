"""Deadline overrun: the seconds that statements outlive the deadlines of their calls."""

import asyncio
from random import Random

import grpc

from tests.contract.errors.error_row import (
    CREATE_NAMESPACE,
    DELETE_NAMESPACE,
    INFO,
    LIST_MEMBERS,
    REMOVE_MEMBER,
    SET_MEMBER,
    VALID,
    WATCH,
)
from tests.faults.harness.beside import Beside, beside
from tests.faults.harness.callers import callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.servers import server

_CALLS = 400
_LEAST_DEADLINE, _LONGEST_DEADLINE = 0.1, 0.3
_WITHIN = 0.25
_TOO_LONG = 10.0
# Not "users" or "namespaces": keys, and what callers reach, are looked up there for all calls that wait for the same,
# and not only until the first of them gives up.
_TABLES = ("traces", "trace_signs", "tags")
# They ask none of these tables.
_WITHOUT_WAITING = {INFO, WATCH, CREATE_NAMESPACE, DELETE_NAMESPACE, SET_MEMBER, REMOVE_MEMBER, LIST_MEMBERS}


async def measure(trial: Trial) -> list[Figure]:
    """Lets calls wait in the database for a lock until their deadlines have passed."""
    random = Random(trial.seed)  # noqa: S311 - not a secret
    rpcs = [rpc for rpc in VALID if rpc not in _WITHOUT_WAITING]
    late: list[tuple[float, str]] = []
    with server(trial, "cancellation") as running:
        async with (
            callers_of(running).channel(running.address) as channel,
            beside(running) as database,
            database.locked(*_TABLES),
        ):
            for number in range(trial.times(_CALLS)):
                seconds = random.uniform(_LEAST_DEADLINE, _LONGEST_DEADLINE)
                rpc = rpcs[number % len(rpcs)]
                while (after := await _outlived(channel, rpc, database, seconds)) is None:
                    seconds *= 2
                late.append((after, rpc))
    late.sort()
    median, (longest, rpc) = late[len(late) // 2][0], late[-1]
    return [
        Figure(
            name="statements after their call's deadline",
            target=f"gone within {_WITHIN * 1000:.0f} ms",
            measured=f"gone after {median * 1000:.0f} ms (median of {len(late)}),"
            f" {longest * 1000:.0f} ms (the last, {rpc})",
            ok=longest <= _WITHIN,
        )
    ]


async def _outlived(channel: grpc.aio.Channel, rpc: str, database: Beside, seconds: float) -> float | None:
    """Returns how many seconds after the deadline the call's statement was seen last, None if it came to none."""
    clock = asyncio.get_running_loop().time
    call: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(rpc)
    deadline = clock() + seconds
    calling = asyncio.create_task(_read(call(VALID[rpc].SerializeToString(), timeout=seconds)))
    if not await database.until_waiting(1, seconds):
        await calling
        return None
    seen = clock()
    while await database.waiting():
        seen = clock()
        assert seen < deadline + _TOO_LONG, rpc
        await asyncio.sleep(0.002)
    await calling
    return max(seen - deadline, 0.0)


async def _read(stream: "grpc.aio.UnaryStreamCall[bytes, bytes]") -> None:
    try:
        async for _ in stream:
            pass
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise
