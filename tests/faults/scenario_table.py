"""Every scenario by its name, in the order in which they are run."""

from collections.abc import Callable, Coroutine
from typing import TypeAlias

from tests.faults.harness.figure import Figure, Trial
from tests.faults.scenarios import (
    cancellations,
    cuts,
    deadlines,
    endpoint,
    filters,
    fuzz,
    history,
    hostile,
    keys,
    kills,
    messages,
    namespaces,
    pool,
    purges,
    rolling,
    secrets,
    shares,
    starts,
    stopped,
    strangers,
    streams,
    tag_names,
    tallies,
    words,
)

Scenario: TypeAlias = Callable[[Trial], Coroutine[None, None, list[Figure]]]

# Each is the `measure` of a module of `figures/`.
SCENARIOS: dict[str, Scenario] = {
    "fuzz": fuzz.measure,
    "cancellations": cancellations.measure,
    "deadlines": deadlines.measure,
    "streams": streams.measure,
    "hostile": hostile.measure,
    "messages": messages.measure,
    "strangers": strangers.measure,
    "shares": shares.measure,
    "filters": filters.measure,
    "tag_names": tag_names.measure,
    "words": words.measure,
    "endpoint": endpoint.measure,
    "pool": pool.measure,
    "kills": kills.measure,
    "cuts": cuts.measure,
    "stopped": stopped.measure,
    "rolling": rolling.measure,
    "history": history.measure,
    "tallies": tallies.measure,
    "purges": purges.measure,
    "starts": starts.measure,
    "keys": keys.measure_matrix,
    "revoked": keys.measure_revoked,
    "namespaces": namespaces.measure,
    "secrets": secrets.measure,
}
