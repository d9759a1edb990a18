"""Targets of the service, beside the measured values of a run. Every value is a ratio, but for those of new texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import writes, writing
from bench.bulk_loading import BulkLoaded, of_raw
from bench.comparing import ENCODED, Compared
from bench.corpora import Corpus
from bench.growing import Growth
from bench.grpc_driver import NEW_TEN_WORDS
from bench.measuring import Measured
from bench.parameters import MANY_WRITERS
from commontrace.plurals import counted

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
    cached, given = (local.get((f"gRPC, {name}", _CALLERS)) for name in ("text, cached", "vectors of texts"))
    traces = f"{growth.steps[-1].traces:,}" if growth else "the large corpus's"
    baseline = f" at recall {growth.baseline.recall:.3f} (ef_search {growth.baseline.ef_search})" if growth else ""
    return [
        *write_targets(corpora[0].writes if corpora else ()),
        _at_least("rate of bulk import, of raw COPY and CREATE INDEX", 0.6, of_raw(loaded)),
        _at_most("p50 of raw, 1 caller, first corpus", 1.5, _p50_of_raw(first)),
        _at_most(f"p50 of raw, 1 caller, {traces} traces", 1.5, _p50_of_raw(large)),
        _at_least("rate of raw, 16 callers, first corpus", 0.7, _of_raw(first)),
        _at_least(f"rate of raw, 16 callers, {traces} traces", 0.7, _of_raw(large)),
        _at_least(
            f"filter of 5 %, {traces} traces, of raw iterative scan{baseline}", 3.0, growth.filtered if growth else None
        ),
        _at_most(f"p50 at {traces} traces of that at the fewest", 3.0, growth.of_p50 if growth else None),
        *new_text_targets(local),
        _at_least(
            "text with a cached vector, of the same vector given",
            0.9,
            cached.measured.per_second / given.measured.per_second if cached and given else None,
        ),
    ]


def write_targets(rows: Sequence[Measured]) -> list[Target]:
    """Returns the targets of creates and votes, of the rows of writes."""
    rates = {row.name: row.per_second for row in rows if row.callers == MANY_WRITERS}
    return [
        _at_least(
            f"{write}s, of raw asyncpg's, {MANY_WRITERS} callers",
            bound,
            rates[writing.grpc_name(write)] / rates[writing.raw_name(write)] if rates else None,
        )
        for write, bound in ((writes.CREATE, 0.7), (writes.VOTE, 0.5))
    ]


def new_text_targets(local: Mapping[tuple[str, int], Compared]) -> list[Target]:
    """Returns the targets of texts never asked before, of the local model's searches by name and callers."""

    def measured(name: str, callers: int) -> Measured | None:
        found = local.get((name, callers))
        return found.measured if found else None

    by_grpc = {callers: measured(f"gRPC, {NEW_TEN_WORDS}", callers) for callers in (1, _CALLERS)}
    encoded = {callers: measured(ENCODED[NEW_TEN_WORDS], callers) for callers in (1, _CALLERS)}
    one, many = by_grpc[1], by_grpc[_CALLERS]
    return [
        *(
            _at_least(
                f"new text of ten words, of one that its caller encodes, {counted(callers, 'callers')}",
                1.0,
                ours.per_second / theirs.per_second
                if (ours := by_grpc[callers]) and (theirs := encoded[callers])
                else None,
            )
            for callers in (1, _CALLERS)
        ),
        _at_least(f"new texts of ten words a second, {_CALLERS} callers", 300.0, many.per_second if many else None),
        _at_most("p50 of a new text of ten words, ms, 1 caller", 8.0, one.p50_ms if one else None),
    ]


def _by_name(searches: Sequence[Compared]) -> Mapping[tuple[str, int], Compared]:
    return {(one.measured.name, one.measured.callers): one for one in searches}


def _of_raw(searches: Mapping[tuple[str, int], Compared]) -> float | None:
    one = searches.get(("gRPC, embedding", _CALLERS))
    return one.of_raw if one else None


def _p50_of_raw(searches: Mapping[tuple[str, int], Compared]) -> float | None:
    one, raw = searches.get(("gRPC, embedding", 1)), searches.get(("raw asyncpg, embedding", 1))
    return one.measured.p50_ms / raw.measured.p50_ms if one and raw else None


def _at_least(name: str, bound: float, measured: float | None) -> Target:
    return Target(
        name=name, target=f">= {bound:g}", measured=measured, ok=None if measured is None else measured >= bound
    )


def _at_most(name: str, bound: float, measured: float | None) -> Target:
    return Target(
        name=name, target=f"<= {bound:g}", measured=measured, ok=None if measured is None else measured <= bound
    )
