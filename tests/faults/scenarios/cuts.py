"""The network between the server and Postgres breaks at COMMIT; whoever repeats the request has one row, not two."""

import asyncio
import random

from commontrace.client.channel_options import channel_options
from tests.faults.harness.contributions import Contributing, findings
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.journal import Journal
from tests.faults.harness.load import under_load, until
from tests.faults.harness.proxy import Fault
from tests.faults.harness.service import running_service

_WRITERS = 8
_DEADLINE_SECONDS = 5.0
_SECONDS = 60.0


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: writes carry no request ids."""
    chance = random.Random(trial.seed)  # noqa: S311 - where to cut is no secret
    plan = [fault for fault in Fault for _ in range(trial.times(100))]
    chance.shuffle(plan)
    contributing = Contributing(
        journal=Journal(trial.place), chance=chance, sends_request_ids=trial.protected, deadline=_DEADLINE_SECONDS
    )
    async with (
        running_service(trial) as service,
        service.callers.channel(service.server.address, options=channel_options(service.server.address)) as channel,
    ):
        async with under_load([contributing.writer(number, channel) for number in range(_WRITERS)]):
            for fault in plan:
                enough = len(contributing.acknowledged) + chance.randint(1, 10)
                await until(lambda enough=enough: len(contributing.acknowledged) >= enough)  # type: ignore[misc]
                async with asyncio.timeout(_SECONDS):
                    await service.proxy.expect(b"COMMIT", fault).wait()
        found = await findings(contributing, service.postgres, channel)
    of = f"of {len(contributing.acknowledged)} in {len(plan)} cuts at COMMIT"
    return [
        Figure(
            name="writes lost by black holes, resets and half-closes before Postgres",
            target="0",
            measured=f"{found.lost} {of}; {found.unfound} not found by their text",
            ok=found.lost == found.unfound == 0,
        ),
        Figure(
            name="duplicates after retries of the same request",
            target="0",
            measured=f"{found.duplicated} {of}; {contributing.repeated} were repeated",
            ok=found.duplicated == 0,
        ),
        contributing.journal.unexplained(),
    ]
