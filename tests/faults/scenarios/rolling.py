"""Two servers are restarted in turn under load: a client that knows both does not notice."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from commontrace.client import CallFailed, Client, connect
from commontrace.client.call_options import CallOptions
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.load import under_load, until
from tests.faults.harness.service import Service, running_service

_CLIENTS = 24


@dataclass(kw_only=True)
class _Calls:
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: a naive client, which knows one of the servers and repeats nothing."""
    chance = random.Random(trial.seed)  # noqa: S311 - when to restart is no secret
    restarts, calls = trial.times(50), _Calls()
    clients_of = _clients if trial.protected else _naive_clients
    async with (
        # Of the 60 connections that Postgres takes, each server may open 28.
        running_service(trial, servers=2, DATABASE_POOL_SIZE="8") as service,
        clients_of(service) as clients,
        under_load([_caller(number, client, calls) for number, client in enumerate(clients)]),
    ):
        for number in range(restarts):
            enough = calls.answered + 100
            await until(lambda enough=enough: calls.answered >= enough)  # type: ignore[misc]
            await asyncio.sleep(chance.uniform(0, 0.3))
            server = service.servers[number % 2]
            await server.stop()
            await server.start()
    failed = sum(calls.failed.values())
    reasons = "".join(f"; {times} {reason}" for reason, times in calls.failed.most_common(3))
    return [
        Figure(
            name="calls failed while two servers are restarted in turn",
            target="0",
            measured=f"{failed} of {calls.answered + failed} in {restarts} restarts{reasons}",
            ok=failed == 0,
        )
    ]


@asynccontextmanager
async def _clients(service: Service) -> AsyncIterator[list[Client]]:
    address = "ipv4:" + ",".join(server.address for server in service.servers)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect(address, key=key)) for key in await _keys(service)]


@asynccontextmanager
async def _naive_clients(service: Service) -> AsyncIterator[list[Client]]:
    async with grpc.aio.insecure_channel(service.server.address, options=[("grpc.enable_retries", 0)]) as channel:
        yield [Client(channel, CallOptions(key=key)) for key in await _keys(service)]


async def _keys(service: Service) -> list[str]:
    return [await service.callers.key(f"caller-{number}@example.org") for number in range(_CLIENTS)]


def _caller(number: int, client: Client, calls: _Calls) -> Callable[[asyncio.Event], Coroutine[Any, Any, None]]:
    async def call(enough: asyncio.Event) -> None:
        turn = 0
        while not enough.is_set():
            turn += 1
            await _tried(_in_turn(client, number, turn), calls)

    return call


async def _in_turn(client: Client, number: int, turn: int) -> None:
    if turn % 4 == 1:
        await client.contribute(f"Turn {turn} of {number}", f"It is turn {turn}.", f"Wait for {number}.")
    elif turn % 4 == 2:
        await client.search("whose turn it is", limit=5)
    elif turn % 4 == 3:
        await client.service_info()
    else:
        async for _ in client.list(page_size=500):
            break


async def _tried(call: Coroutine[Any, Any, None], calls: _Calls) -> None:
    try:
        await call
    except CallFailed as failure:
        calls.failed[f"{failure.code.name} {failure}"[:200]] += 1
        await asyncio.sleep(0.05)
    else:
        calls.answered += 1
