"""Rounds of one search after the other, so that whatever slows the machine down slows all of them down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import cpu
from bench.closed_loop import Answers
from bench.failures import RunFailed
from bench.parameters import Parameters
from bench.processes import Driver


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What is measured: by which driver, under which name the driver knows it, and under which the table."""

    name: str
    driver: Driver
    order: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What callers saw in one round, and the seconds of processor time that each part used meanwhile."""

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
                measured[search.name].append(await self._round(search, callers, self._parameters.seconds * share))
        return [_together(name, callers, rounds_of_it) for name, rounds_of_it in measured.items()]

    async def _round(self, search: Search, callers: int, seconds: float) -> Round:
        await search.driver.run(search.order, callers=callers, seconds=self._parameters.warm_up_seconds)
        processes = {"driver": search.driver.pid, **self._asked}
        before = cpu.seconds_of(processes)
        answers = await search.driver.run(search.order, callers=callers, seconds=seconds)
        after = cpu.seconds_of(processes)
        if not answers.milliseconds:
            raise RunFailed(f"{search.name}: every call failed, the first with {answers.first_failure}")
        return Round(answers=answers, cpu_seconds={name: after[name] - before[name] for name in processes})


def _together(name: str, callers: int, rounds: Sequence[Round]) -> Measured:
    milliseconds = [taken for one in rounds for taken in one.answers.milliseconds]
    seconds = sum(one.answers.seconds for one in rounds)
    used = {part: sum(one.cpu_seconds[part] for one in rounds) for part in rounds[0].cpu_seconds}
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
        busy_cores={part: spent / seconds for part, spent in used.items()},
    )
