"""Everything that can break behind a server, in an order that the seed decides."""

import asyncio
import random
from itertools import cycle, islice

from tests.faults.harness.kills import KILLS, kill, plan_of_kills
from tests.faults.harness.proxy import Fault
from tests.faults.harness.service import Service

_STOP_SECONDS = (0.5, 4.0)
_COMMIT_SECONDS = 60.0
_STOP = "stop Postgres"
_RESET = "reset all"
_SWALLOW = "swallow all"
_OTHERS: list[str | Fault] = [_STOP, _RESET, _SWALLOW, *Fault]


def plan_of_breaks(chance: random.Random, count: int) -> list[str | Fault]:
    """So many, of each kill and each other break as many, or one less; the kills first where there are few."""
    others = chance.sample(_OTHERS, len(_OTHERS))
    kinds = [*plan_of_kills(chance, len(KILLS)), *others]
    plan = list(islice(cycle(kinds), count))
    chance.shuffle(plan)
    return plan


async def break_something(what: str | Fault, service: Service, chance: random.Random) -> None:
    """Breaks it and returns when it works again, or will by itself."""
    if isinstance(what, Fault):
        async with asyncio.timeout(_COMMIT_SECONDS):
            await service.proxy.expect(b"COMMIT", what).wait()
    elif what == _STOP:
        with service.postgres.stopped():
            await asyncio.sleep(chance.uniform(*_STOP_SECONDS))
    elif what == _RESET:
        service.proxy.reset()
    elif what == _SWALLOW:
        service.proxy.swallow()
    else:
        await kill(what, service, chance)
