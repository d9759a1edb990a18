"""Checks of vectors: traces without one, the encoding queue, and re-encoding with another model."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from commontrace.domain.doctor.findings import Finding, ok, problem, warning
from commontrace.embeddings.model import RecordedModel

_RETRY = "commontrace worker --retry"
# A longer wait has a cause that an operator may want to know.
_LONG_WAIT_SECONDS = 300.0
_MINUTE, _DAY = 60.0, 86400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorCounts:
    """Numbers of live traces: all, and those without a vector of the current model, queued or not.

    Those not queued have no vector (`missing`) or one of another model (`foreign`); `examples` are ids of some.
    `tokenless` have their vector, are not queued, and lack the tokens that the model keeps.
    """

    live: int
    queued: int
    missing: int
    foreign: int
    tokenless: int
    examples: Sequence[UUID]


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueFacts:
    """Numbers of traces in the encoding queue and of dead letters, deleted ones included.

    `oldest_seconds` is the longest wait; `why` is the last failure, that of a dead letter if there are any; `examples`
    are ids of dead letters.
    """

    waiting: int
    oldest_seconds: float
    given_up: int
    why: str
    examples: Sequence[UUID]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reembedded:
    """Progress of re-encoding: traces with a vector of the next model, and of all; whether a process is running."""

    done: int
    total: int
    is_under_way: bool


def check_vectors(counts: VectorCounts) -> Finding:
    """Checks that searches can find every live trace."""
    lost = {
        "have no vector": counts.missing,
        "have a vector of another model": counts.foreign,
    }
    if not any(lost.values()):
        if counts.tokenless:
            return warning(
                "vectors",
                f"of {counts.live:,} live traces {counts.tokenless:,} lack the signs of their tokens, and nobody"
                " encodes them: RANKING_BEST ranks them as RANKING_HYBRID",
                _RETRY,
            )
        if counts.queued:
            found = counts.live - counts.queued
            return ok("vectors", f"{found:,} of {counts.live:,} live traces can be found, the others are in the queue")
        return ok("vectors", f"each of {counts.live:,} live traces can be found")
    what = " and ".join(f"{count:,} {why}" for why, count in lost.items() if count)
    some = " ".join(map(str, counts.examples))
    return problem(
        "vectors",
        f"of {counts.live:,} live traces {what} and nobody encodes them: no search finds them ({some})",
        _RETRY,
    )


def check_queue(facts: QueueFacts) -> Finding:
    """Checks that traces get their vectors in time."""
    because = f", because {facts.why}" if facts.why else ""
    if facts.given_up:
        some = " ".join(map(str, facts.examples))
        return problem(
            "queue",
            f"waiting for vectors: {facts.waiting:,}, given up: {facts.given_up:,}{because} ({some})",
            f"repair the cause, or have their owners change the texts; what is left: {_RETRY}",
        )
    if not facts.waiting:
        return ok("queue", "no trace waits for its vector")
    waiting = f"waiting for vectors: {facts.waiting:,}, the first for {_duration(facts.oldest_seconds)}"
    if facts.oldest_seconds > _LONG_WAIT_SECONDS:
        return warning(
            "queue",
            waiting + because,
            "see that a server without ENCODING_WORKER=false, or commontrace worker, runs; and that its model encodes",
        )
    return ok("queue", waiting)


def check_reembedding(upcoming: RecordedModel, progress: Reembedded) -> Finding:
    """Checks that a begun re-encoding goes on."""
    what = (
        f"being moved to {upcoming.model_id} {upcoming.model_version} of {upcoming.dimensions} dimensions:"
        f" {progress.done:,} of {progress.total:,} traces are encoded"
    )
    if progress.is_under_way:
        return ok("reembed", what)
    return warning(
        "reembed",
        f"{what}, and nobody goes on",
        "commontrace reembed with the settings of that model goes on; commontrace reembed --cancel gives it up",
    )


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE:,.0f} min" if seconds < _DAY else f"{seconds / _DAY:,.1f} days"
