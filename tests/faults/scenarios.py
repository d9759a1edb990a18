"""Every scenario by its name, in the order in which they are run."""

from collections.abc import Callable, Coroutine
from typing import TypeAlias

from tests.faults.figures import (
    cancellations,
    cuts,
    deadlines,
    fuzz,
    history,
    hostile,
    keys,
    kills,
    pool,
    rolling,
    secrets,
    starts,
    stopped,
    streams,
    tallies,
)
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
    "kills": kills.measure,
    "cuts": cuts.measure,
    "stopped": stopped.measure,
    "rolling": rolling.measure,
    "history": history.measure,
    "tallies": tallies.measure,
    "starts": starts.measure,
    "keys": keys.measure_matrix,
    "revoked": keys.measure_revoked,
    "secrets": secrets.measure,
}
