"""What is killed with -9, in an order that the seed decides."""

import random
from collections.abc import Awaitable, Callable

from tests.faults.rig.service import Service


async def kill(victim: str, service: Service, chance: random.Random) -> None:
    """Kills it and brings it back."""
    await _KILLS[victim](service, chance)


def plan_of_kills(chance: random.Random, times: int) -> list[str]:
    """Every victim so many times."""
    plan = [victim for victim in _KILLS for _ in range(times)]
    chance.shuffle(plan)
    return plan


async def _backend(service: Service, chance: random.Random) -> None:
    await service.postgres.kill_backend(chance)


async def _postmaster(service: Service, _chance: random.Random) -> None:
    await service.postgres.kill_postmaster()


async def _server(service: Service, _chance: random.Random) -> None:
    await service.server.kill()


_KILLS: dict[str, Callable[[Service, random.Random], Awaitable[None]]] = {
    "backend": _backend,
    "postmaster": _postmaster,
    "server": _server,
}
