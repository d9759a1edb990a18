"""Fifty voters flip their votes while everything is killed: every tally is what the votes say, every vote the last."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from commontrace.client import Client, connect
from commontrace.domain.votes.trust import Tally, trust_score
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.journal import Journal, Operation
from tests.faults.harness.kills import kill, plan_of_kills
from tests.faults.harness.load import under_load, until, until_answered
from tests.faults.harness.postgres import Postgres
from tests.faults.harness.service import Service, running_service
from tests.faults.harness.unprotected import TRACE_LOCK
from tests.support.builders import copies_of

_VOTERS = 50
_TRACES = 201
_BETWEEN_KILLS, _LOOKS = 150, 10
# Between reading and writing there is time for others.
_LATENCY_SECONDS = 0.002
_DOWN_REASONS = ("outdated", "incorrect", "harmful", "duplicate", "spam")
_TALLIES = """
    SELECT status, confirmation_count, traces.down_count, trust_score,
        count(*) FILTER (WHERE vote_type = 'up') AS ups, count(*) FILTER (WHERE vote_type = 'down') AS downs
    FROM traces LEFT JOIN votes ON trace_id = traces.id AND votes.revision = traces.revision GROUP BY traces.id"""
_VOTES = "SELECT email, trace_id::text, vote_type FROM votes JOIN users ON users.id = voter_id"


@dataclass(kw_only=True)
class _Voting:
    journal: Journal
    chance: random.Random
    trace_ids: list[str]
    acknowledged: int = 0
    last: dict[tuple[str, str], str] = field(default_factory=dict)
    """What each voter said last, by voter and trace; nothing of what was retracted."""

    def voter(self, number: int, client: Client) -> Callable[[asyncio.Event], Coroutine[Any, Any, None]]:
        """Returns a client for `under_load` that changes its mind at random."""

        async def vote(enough: asyncio.Event) -> None:
            while not enough.is_set():
                await self._change_mind(number, client, self.chance.choice(self.trace_ids))

        return vote

    async def _change_mind(self, number: int, client: Client, trace_id: str) -> None:
        key = (_email(number), trace_id)
        says = self.chance.choice(("up", "up", "down", "retract") if key in self.last else ("up", "down"))
        request_id = UUID(int=self.chance.getrandbits(128), version=4)
        reason = self.chance.choice(_DOWN_REASONS)

        async def call() -> object:
            if says == "retract":
                return await client.retract_vote(trace_id, request_id=request_id)
            if says == "down":
                return await client.vote(trace_id, "down", reason=reason, request_id=request_id)  # type: ignore[arg-type]
            return await client.vote(trace_id, "up", request_id=request_id)

        operation = Operation(client=number, register=f"vote {trace_id} {number}", value=says)
        with self.journal.entry(operation):
            await until_answered(operation, call)
        if says == "retract":
            del self.last[key]
        else:
            self.last[key] = says
        self.acknowledged += 1


async def measure(trial: Trial) -> list[Figure]:
    """Looks several times before each kill: the next vote hides a wrong tally.

    Unprotected: votes are counted without a lock on their trace.
    """
    chance = random.Random(trial.seed)  # noqa: S311 - when to kill is no secret
    plan = plan_of_kills(chance, trial.times(60))
    without = None if trial.protected else TRACE_LOCK
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running_service(trial, without=without, DATABASE_POOL_SIZE="15"))
        service.proxy.latency = _LATENCY_SECONDS
        address = service.server.address
        clients = [
            await stack.enter_async_context(connect(address, key=await service.callers.key(_email(number)), deadline=5))
            for number in range(_VOTERS)
        ]
        trace_ids = await _contribute(service)
        voting = _Voting(journal=Journal(trial.place), chance=chance, trace_ids=trace_ids[:1])
        wrong = 0
        voters = [voting.voter(number, client) for number, client in enumerate(clients)]
        async with under_load(voters):
            for number, victim in enumerate(plan):
                # All on one trace, then each on any of the others.
                voting.trace_ids = trace_ids[1:] if number % 2 else trace_ids[:1]
                for _ in range(_LOOKS):
                    enough = voting.acknowledged + _BETWEEN_KILLS // _LOOKS
                    await until(lambda enough=enough: voting.acknowledged >= enough)  # type: ignore[misc]
                    wrong = max(wrong, await _wrong(service.postgres))
                await kill(victim, service, chance)
        wrong = max(wrong, await _wrong(service.postgres))
        stored = {(row["email"], row["trace_id"]): row["vote_type"] for row in await service.postgres.ask(_VOTES)}
    others = len(stored.items() ^ voting.last.items())
    of = f"of {voting.acknowledged} votes in {len(plan)} kills"
    return [
        Figure(
            name=f"tallies of 1 and of {_TRACES - 1} traces that differ from a recount",
            target="0",
            measured=f"{wrong} of {_TRACES} after {voting.acknowledged} votes in {len(plan)} kills",
            ok=wrong == 0,
        ),
        Figure(
            name="votes that are not the last ones acknowledged",
            target="0",
            measured=f"{others} {of}",
            ok=others == 0,
        ),
        voting.journal.unexplained(),
    ]


async def _contribute(service: Service) -> list[str]:
    async with connect(service.server.address, key=await service.callers.key()) as author:
        first = (await author.contribute("Votes race", "Many vote at once.", "Count under a lock.")).created.id
    await service.postgres.ask(copies_of(first, _TRACES))
    return [row["id"] for row in await service.postgres.ask("SELECT id::text FROM traces ORDER BY id")]


async def _wrong(postgres: Postgres) -> int:
    """Returns how many tallies differ from a recount at this moment."""
    tallies = await postgres.ask(_TALLIES)
    assert len(tallies) == _TRACES
    return sum(not _is_right(row) for row in tallies)


def _is_right(row: Any) -> bool:
    ups, downs = row["ups"], row["downs"]
    status = "validated" if ups >= 2 and ups > downs else "pending"
    return (row["confirmation_count"], row["down_count"], row["status"], row["trust_score"]) == (
        *(ups, downs, status),
        trust_score(Tally(up_count=ups, down_count=downs)),
    )


def _email(number: int) -> str:
    return f"voter-{number}@example.org"
