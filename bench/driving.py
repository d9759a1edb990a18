"""Callers in a closed loop, and what they saw."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Answers a second, and milliseconds that half and 99 of 100 answers took at most."""

    rate: float
    p50: float
    p99: float
    cpu_share: float
    """How busy the driver itself was: near 1.0 it, not the server, was the limit."""


async def drive(ask: Callable[[int], Awaitable[None]], *, callers: int, seconds: float) -> Measured:
    """Lets `callers` ask one question after the other, each with the next number, after a short warm-up."""
    numbers = count()
    await _loop(ask, numbers, callers, until=time.perf_counter() + seconds / 4)
    cpu, started = time.process_time(), time.perf_counter()
    times = await _loop(ask, numbers, callers, until=started + seconds)
    elapsed = time.perf_counter() - started
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    share = (time.process_time() - cpu) / elapsed
    return Measured(rate=len(times) / elapsed, p50=float(p50), p99=float(p99), cpu_share=share)


async def _loop(
    ask: Callable[[int], Awaitable[None]], numbers: Iterator[int], callers: int, *, until: float
) -> list[float]:
    times: list[float] = []

    async def caller() -> None:
        while (started := time.perf_counter()) < until:
            await ask(next(numbers))
            times.append(time.perf_counter() - started)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return times
