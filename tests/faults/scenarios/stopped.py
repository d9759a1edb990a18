"""A Postgres that is there and does not move (SIGSTOP): every call ends in time, health says so, all recovers."""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from commontrace.client import Client, connect
from commontrace.client.channel_options import SERVICES
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.journal import Journal, Operation
from tests.faults.harness.load import attempt, under_load, until_answered
from tests.faults.harness.service import running_service
from tests.support.builders import health_of

_CLIENTS = 16
_DEADLINE_SECONDS = 2.0
_LATE_SECONDS = 0.5
_NO_DEADLINE_SECONDS = 60.0
_STOP_SECONDS, _SHORT_STOP_SECONDS = 10.0, 3.5
_WHOLE_STOPS = 0.2
_FLIP_SECONDS = 3.0
_RECOVERY_SECONDS = 2.0
_LIVENESS = ""
_ANSWER = health_pb2.HealthCheckResponse


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: calls have no deadline, and what is watched is liveness alone."""
    stops, seconds = trial.times(5), _STOP_SECONDS if trial.scale >= _WHOLE_STOPS else _SHORT_STOP_SECONDS
    deadline = _DEADLINE_SECONDS if trial.protected else _NO_DEADLINE_SECONDS
    watched = SERVICES[0] if trial.protected else _LIVENESS
    journal = Journal(trial.place)
    took: list[float] = []
    flips: list[float] = []
    recoveries: list[float] = []
    async with (
        running_service(trial) as service,
        connect(service.server.address, key=await service.callers.key(), deadline=deadline) as client,
        grpc.aio.insecure_channel(service.server.address) as channel,
        under_load([_caller(number, client, took, journal) for number in range(_CLIENTS)]),
    ):
        for _ in range(stops):
            await asyncio.sleep(0.5)
            began = time.monotonic()
            with service.postgres.stopped():
                flips.append(await _until_health(channel, watched, _ANSWER.NOT_SERVING, seconds))
                await asyncio.sleep(began + seconds - time.monotonic())
            continued = time.monotonic()
            await until_answered(Operation(client=-1, register="recovery"), lambda: _write(client, -1))
            await _until_health(channel, watched, _ANSWER.SERVING, seconds)
            recoveries.append(time.monotonic() - continued)
    late = sum(one > _DEADLINE_SECONDS + _LATE_SECONDS for one in took)
    return [
        Figure(
            name=f"answers later than deadline + {_LATE_SECONDS:g} s while Postgres is stopped for {seconds:g} s",
            target="0",
            measured=f"{late} of {len(took)}; slowest {max(took):.2f} s, deadline {_DEADLINE_SECONDS:g} s",
            ok=late == 0,
        ),
        _slowest("health flips after Postgres stops", flips, _FLIP_SECONDS),
        journal.unexplained(),
        _slowest("writes and health are back after Postgres goes on", recoveries, _RECOVERY_SECONDS),
    ]


def _slowest(name: str, seconds: list[float], target: float) -> Figure:
    measured = f"{max(seconds):.2f} s at most in {len(seconds)} stops"
    return Figure(name=name, target=f"within {target:g} s", measured=measured, ok=max(seconds) <= target)


def _caller(
    number: int, client: Client, took: list[float], journal: Journal
) -> Callable[[asyncio.Event], Coroutine[Any, Any, None]]:
    async def call(enough: asyncio.Event) -> None:
        for turn in itertools.count(number):
            if enough.is_set():
                return
            began = time.monotonic()
            with journal.entry(Operation(client=number, register="any")) as operation:
                await attempt(operation, lambda turn=turn: _any_call(client, turn))  # type: ignore[misc]
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.02)

    return call


async def _any_call(client: Client, turn: int) -> object:
    match turn % 3:
        case 0:
            return await _write(client, turn)
        case 1:
            return await anext(client.list(page_size=5), None)
        case _:
            return await client.search("what stops and hangs", limit=3)


async def _write(client: Client, turn: int) -> object:
    return await client.contribute("It hangs", f"In turn {turn}.", "Let it go on.", on_duplicate="allow")


async def _until_health(channel: grpc.aio.Channel, service: str, wanted: int, seconds: float) -> float:
    """Returns after how long health says so, infinity if it does not within the seconds."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        if await health_of(channel, service) == wanted:
            return passed
        await asyncio.sleep(0.02)
    return inf
