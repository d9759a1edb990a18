"""Rounds of one search after the other, so that whatever slows the machine down slows all of them down."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import cpu
from bench.closed_loop import Answers
from bench.failures import RunFailed
from bench.parameters import Parameters
from bench.processes import Driver

# Of a core, or of all: what is left, others need in between.
_NEARLY = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Search to measure: its name in the table, its driver, and the order that the driver gets."""

    name: str
    driver: Driver
    order: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """Answers of one round, and the seconds of processor time that each part used meanwhile."""

    answers: Answers
    cpu_seconds: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.answers.milliseconds) / self.answers.seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One search by so many callers; all rounds together, unless it says otherwise."""

    name: str
    callers: int
    answers: int
    failures: int
    first_failure: str
    per_second: float
    per_second_by_round: Sequence[float]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms_a_search: Mapping[str, float]
    """By driver, server and postgres: milliseconds of processor time."""
    busy_cores: Mapping[str, float]
    """By the same: how many cores were busy on average. At 1.0, a Python process is the limit."""
    saturated: str
    """Who had no more to give: `driver` or `server`, one core each, or all cores of the `machine`; "" for nobody."""
    first_p50_ms: float | None = None
    """How long the first message of an answer took, where it was looked at."""
    first_p99_ms: float | None = None


class Measuring:
    """Runs searches and reads what they cost."""

    def __init__(self, parameters: Parameters, *, server_pid: int, postgres_pid: int) -> None:
        """Takes the processes that the drivers ask."""
        self._parameters = parameters
        self._asked = {"server": server_pid, "postgres": postgres_pid}

    async def in_turn(
        self, searches: Sequence[Search], *, callers: int, rounds: int, share: float = 1.0
    ) -> list[Measured]:
        """Measures every search once a round; `share` shortens the rounds. Raises RunFailed."""
        measured: dict[str, list[Round]] = {search.name: [] for search in searches}
        for _ in range(rounds):
            for search in searches:
                [one] = await self._round({search.name: search}, callers, self._parameters.seconds * share)
                measured[search.name].append(one)
        return [_together(name, callers, rounds_of_it) for name, rounds_of_it in measured.items()]

    async def at_once(self, searches: Sequence[Search], *, callers: int) -> list[Measured]:
        """Measures searches of different drivers at the same time, each by so many callers, for one round.

        What the server and Postgres spend is counted for all of them together, in each. Raises RunFailed.
        """
        by_name = {search.name: search for search in searches}
        rounds = await self._round(by_name, callers, self._parameters.seconds)
        return [_together(name, callers, [one]) for name, one in zip(by_name, rounds, strict=True)]

    async def _round(self, searches: Mapping[str, Search], callers: int, seconds: float) -> list[Round]:
        async def run(seconds: float) -> list[Answers]:
            running = (one.driver.run(one.order, callers=callers, seconds=seconds) for one in searches.values())
            return await asyncio.gather(*running)

        await run(self._parameters.warm_up_seconds)
        processes = {**{name: one.driver.pid for name, one in searches.items()}, **self._asked}
        before = cpu.seconds_of(processes)
        answers = await run(seconds)
        after = cpu.seconds_of(processes)
        used = {name: after[name] - before[name] for name in processes}
        rounds = []
        for name, one in zip(searches, answers, strict=True):
            if not one.milliseconds:
                raise RunFailed(f"{name}: every call failed, the first with {one.first_failure}")
            parts = {"driver": used[name], **{part: used[part] for part in self._asked}}
            rounds.append(Round(answers=one, cpu_seconds=parts))
        return rounds


def _together(name: str, callers: int, rounds: Sequence[Round]) -> Measured:
    milliseconds = [taken for one in rounds for taken in one.answers.milliseconds]
    seconds = sum(one.answers.seconds for one in rounds)
    firsts = [taken for one in rounds for taken in one.answers.first_milliseconds]
    used = {part: sum(one.cpu_seconds[part] for one in rounds) for part in rounds[0].cpu_seconds}
    busy = {part: spent / seconds for part, spent in used.items()}
    p50, p95, p99 = map(float, np.percentile(milliseconds, [50, 95, 99]))
    return Measured(
        name=name,
        callers=callers,
        answers=len(milliseconds),
        failures=sum(one.answers.failures for one in rounds),
        first_failure=next((one.answers.first_failure for one in rounds if one.answers.failures), ""),
        per_second=len(milliseconds) / seconds,
        per_second_by_round=[one.rate for one in rounds],
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        cpu_ms_a_search={part: 1000 * spent / len(milliseconds) for part, spent in used.items()},
        busy_cores=busy,
        saturated=_saturated(busy),
        first_p50_ms=float(np.percentile(firsts, 50)) if firsts else None,
        first_p99_ms=float(np.percentile(firsts, 99)) if firsts else None,
    )


def _saturated(busy: Mapping[str, float]) -> str:
    full = [part for part in ("driver", "server") if busy[part] >= _NEARLY]
    if sum(busy.values()) >= _NEARLY * len(os.sched_getaffinity(0)):
        full.append("machine")
    return ", ".join(full)
