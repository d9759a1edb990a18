"""Every scenario by its name, in the order in which they are run."""

from collections.abc import Callable, Coroutine
from typing import TypeAlias

from tests.faults.figures import cancellations, deadlines, fuzz, hostile, pool, streams
from tests.faults.rig.figure import Figure, Trial

Scenario: TypeAlias = Callable[[Trial], Coroutine[None, None, list[Figure]]]

# Each is the `measure` of a module of `figures/`.
SCENARIOS: dict[str, Scenario] = {
    "fuzz": fuzz.measure,
    "cancellations": cancellations.measure,
    "deadlines": deadlines.measure,
    "streams": streams.measure,
    "hostile": hostile.measure,
    "pool": pool.measure,
}
