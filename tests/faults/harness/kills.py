"""Victims of kill -9, in an order that the seed decides."""

import random
from collections.abc import Awaitable, Callable
from itertools import cycle, islice

from tests.faults.harness.service import Service


async def kill(victim: str, service: Service, chance: random.Random) -> None:
    """Kills it and brings it back."""
    await KILLS[victim](service, chance)


def plan_of_kills(chance: random.Random, count: int) -> list[str]:
    """So many, of every victim as many, or one less."""
    first = chance.sample(sorted(KILLS), len(KILLS))
    plan = list(islice(cycle(first), count))
    chance.shuffle(plan)
    return plan


async def _backend(service: Service, chance: random.Random) -> None:
    await service.postgres.kill_backend(chance)


async def _postmaster(service: Service, _chance: random.Random) -> None:
    await service.postgres.kill_postmaster()


async def _server(service: Service, _chance: random.Random) -> None:
    await service.server.kill()


KILLS: dict[str, Callable[[Service, random.Random], Awaitable[None]]] = {
    "backend": _backend,
    "postmaster": _postmaster,
    "server": _server,
}
"""By victim."""
