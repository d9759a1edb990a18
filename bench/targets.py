"""Targets of the service, beside the measured values of a run. Every value is a ratio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.bulk_loading import BulkLoaded, of_raw
from bench.comparing import Compared
from bench.corpora import Corpus
from bench.growing import Growth

_CALLERS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A ratio to be reached; `measured` is None where the run left out what it needs, and `ok` then, too."""

    name: str
    target: str
    measured: float | None
    ok: bool | None


def targets(corpora: Sequence[Corpus], growth: Growth | None, loaded: Sequence[BulkLoaded] = ()) -> list[Target]:
    """Returns all of them in their order. The first corpus is the one of long vectors, the last the local model's."""
    first = _by_name(corpora[0].comparison.searches) if corpora else {}
    local = _by_name(corpora[-1].comparison.searches) if corpora else {}
    large = _by_name(growth.searches) if growth else {}
    one, raw_one = first.get(("gRPC, embedding", 1)), first.get(("raw asyncpg, embedding", 1))
    cached, given = (local.get((f"gRPC, {name}", _CALLERS)) for name in ("text, cached", "vectors of texts"))
    traces = f"{growth.steps[-1].traces:,}" if growth else "the large corpus's"
    baseline = f" at recall {growth.baseline.recall:.3f} (ef_search {growth.baseline.ef_search})" if growth else ""
    return [
        _at_least("rate of raw, 16 callers, first corpus", 0.7, _of_raw(first)),
        _at_least(f"rate of raw, 16 callers, {traces} traces", 0.7, _of_raw(large)),
        _at_least(
            f"filter of 5 %, {traces} traces, of raw iterative scan{baseline}", 3.0, growth.filtered if growth else None
        ),
        _at_most(
            "p50 of raw, 1 caller", 2.0, one.measured.p50_ms / raw_one.measured.p50_ms if one and raw_one else None
        ),
        _at_most(f"p50 at {traces} traces of that at the fewest", 3.0, growth.of_p50 if growth else None),
        _at_least(
            "text with a cached vector, of the same vector given",
            0.9,
            cached.measured.per_second / given.measured.per_second if cached and given else None,
        ),
        _at_least("rate of bulk import, of raw COPY and CREATE INDEX", 0.6, of_raw(loaded)),
    ]


def _by_name(searches: Sequence[Compared]) -> Mapping[tuple[str, int], Compared]:
    return {(one.measured.name, one.measured.callers): one for one in searches}


def _of_raw(searches: Mapping[tuple[str, int], Compared]) -> float | None:
    one = searches.get(("gRPC, embedding", _CALLERS))
    return one.of_raw if one else None


def _at_least(name: str, bound: float, measured: float | None) -> Target:
    return Target(
        name=name, target=f">= {bound:g}", measured=measured, ok=None if measured is None else measured >= bound
    )


def _at_most(name: str, bound: float, measured: float | None) -> Target:
    return Target(
        name=name, target=f"<= {bound:g}", measured=measured, ok=None if measured is None else measured <= bound
    )
