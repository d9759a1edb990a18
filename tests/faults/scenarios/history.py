"""History of sixteen clients under faults, checked against a model of the values they may have seen."""

import random
from collections import Counter
from contextlib import AsyncExitStack

from commontrace.client import connect
from tests.faults.harness.breaks import break_something, plan_of_breaks
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.history import Actor, World
from tests.faults.harness.journal import Journal
from tests.faults.harness.load import under_load, until
from tests.faults.harness.model import FINAL_READER, check_writers, violations
from tests.faults.harness.postgres import Postgres
from tests.faults.harness.service import running_service

_CLIENTS = 16
_OPERATIONS = 20_000
_DEADLINE_SECONDS = 5.0
_QUIET_SECONDS = 300.0
_COPIES = "SELECT split_part(title, ' ', 1) AS register, count(*) FROM traces GROUP BY 1"
_REVISIONS = "SELECT trace_id::text AS id, count(*) FROM trace_revisions GROUP BY 1"


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: Postgres acknowledges before it has written."""
    chance = random.Random(trial.seed)  # noqa: S311 - what breaks is no secret
    plan = plan_of_breaks(chance, trial.times(110, least=3))
    world = World(journal=Journal(trial.place), chance=chance)
    operations, enough = world.journal.operations, trial.times(_OPERATIONS)
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running_service(trial, is_forgetful=not trial.protected))
        actors = []
        for number in range(_CLIENTS):
            key = await service.callers.key(f"actor-{number}@example.org")
            calls = connect(service.server.address, key=key, deadline=_DEADLINE_SECONDS)
            actors.append(Actor(number=number, client=await stack.enter_async_context(calls), world=world))
        async with under_load([actor.act for actor in actors]):
            for place, what in enumerate(plan, 1):
                share = enough * place // (len(plan) + 1)
                await until(lambda share=share: len(operations) >= share, seconds=_QUIET_SECONDS)  # type: ignore[misc]
                await break_something(what, service, chance)
            await until(lambda: len(operations) >= enough, seconds=_QUIET_SECONDS)
        for trace in world.traces:
            await actors[0].read(trace, FINAL_READER)
        for voter, trace in world.votes.values():
            await actors[voter].read_vote(trace, FINAL_READER)
        repeated, missing = await _revised(service.postgres, world)
    check_writers(operations)
    found = violations(operations)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in world.journal.count().items())
    of = f"of {len(operations)} operations ({outcomes}) in {len(plan)} faults"
    lost = len(found.lost) + missing + len(world.refusals)
    first = next((f"; {one}" for one in [*found.lost, *world.refusals, *found.stale]), "")
    return [
        Figure(
            name="acknowledged writes lost from a history",
            target="0",
            measured=f"{lost} {of}{first}",
            ok=lost == 0,
        ),
        Figure(name="writes of it carried out twice", target="0", measured=f"{repeated} {of}", ok=repeated == 0),
        Figure(
            name="stale reads in it",
            target="0",
            measured=f"{len(found.stale)} {of}, {found.own} of one's own writes",
            ok=not found.stale,
        ),
        world.journal.unexplained(),
    ]


async def _revised(postgres: Postgres, world: World) -> tuple[int, int]:
    """Returns how many traces and revisions are there too often, and how many are missing."""
    copies = sum(row["count"] - 1 for row in await postgres.ask(_COPIES))
    revisions = Counter({row["id"]: row["count"] for row in await postgres.ask(_REVISIONS)})
    too_many = sum(max(0, revisions[trace.id] - trace.most_revisions) for trace in world.traces)
    missing = sum(max(0, trace.least_revisions - revisions[trace.id]) for trace in world.traces)
    return copies + too_many, missing
