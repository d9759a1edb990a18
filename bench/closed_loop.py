"""Callers in a closed loop, and what they saw."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

Ask = Callable[[int], Awaitable[float | None]]
"""Asks the question of that number and looks at the answer. Raises whatever is wrong with it.

Returns when the first message of the answer came, by `time.perf_counter`, where that is of interest.
"""


class WrongAnswer(Exception):
    """An answer came, but not the one that was due."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """Latencies of answered calls in milliseconds, the duration of all in seconds, and failures.

    `first_milliseconds` are the latencies of first messages, of questions that report them.
    """

    milliseconds: list[float]
    first_milliseconds: list[float]
    seconds: float
    failures: int
    first_failure: str


async def run(ask: Ask, numbers: Iterator[int], *, callers: int, seconds: float) -> Answers:
    """Lets callers ask one question after the other until the time is over, each with the next number."""
    milliseconds: list[float] = []
    first_milliseconds: list[float] = []
    failures: list[str] = []
    began = time.perf_counter()
    until = began + seconds

    async def caller() -> None:
        while (asked := time.perf_counter()) < until:
            try:
                first = await ask(next(numbers))
            except Exception as error:  # noqa: BLE001 - whatever it is, it counts as a failure and is told
                failures.append(f"{type(error).__name__}: {error}")
                # Failing at once, callers would else leave nobody else a turn.
                await asyncio.sleep(0.001)
            else:
                milliseconds.append((time.perf_counter() - asked) * 1000)
                if first is not None:
                    first_milliseconds.append((first - asked) * 1000)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return Answers(
        milliseconds=milliseconds,
        first_milliseconds=first_milliseconds,
        seconds=time.perf_counter() - began,
        failures=len(failures),
        first_failure=failures[0] if failures else "",
    )
