"""Kill -9 of Postgres and of the server in the middle of writing: what was acknowledged is there, and there once."""

import asyncio
import random

from commontrace.client.channel_options import channel_options
from tests.faults.harness.contributions import Contributing, findings
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.journal import Journal
from tests.faults.harness.kills import kill, plan_of_kills
from tests.faults.harness.load import under_load, until
from tests.faults.harness.service import running_service

_WRITERS = 16
# So that many a commit is done and its answer under way.
_LATENCY_SECONDS = 0.005


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: Postgres acknowledges before it has written, and writes carry no request ids."""
    chance = random.Random(trial.seed)  # noqa: S311 - when to kill is no secret
    plan = plan_of_kills(chance, trial.times(300, least=3))
    contributing = Contributing(journal=Journal(trial.place), chance=chance, sends_request_ids=trial.protected)
    async with running_service(trial, is_forgetful=not trial.protected) as service:
        service.proxy.latency = _LATENCY_SECONDS
        async with service.callers.channel(
            service.server.address, options=channel_options(service.server.address)
        ) as channel:
            async with under_load([contributing.writer(number, channel) for number in range(_WRITERS)]):
                for victim in plan:
                    enough = len(contributing.acknowledged) + chance.randint(20, 60)
                    await until(lambda enough=enough: len(contributing.acknowledged) >= enough)  # type: ignore[misc]
                    await asyncio.sleep(chance.uniform(0, 0.03))
                    await kill(victim, service, chance)
            found = await findings(contributing, service.postgres, channel)
    of = f"of {len(contributing.acknowledged)} in {len(plan)} kills"
    return [
        Figure(
            name="acknowledged writes lost by kills of backends, postmaster and server",
            target="0",
            measured=f"{found.lost} {of}; {found.unfound} not found by their text",
            ok=found.lost == found.unfound == 0,
        ),
        Figure(
            name="duplicates after retries",
            target="0",
            measured=f"{found.duplicated} {of}; {contributing.repeated} were repeated",
            ok=found.duplicated == 0,
        ),
        contributing.journal.unexplained(),
    ]
