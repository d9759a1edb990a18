"""Searches through gRPC beside the fastest raw ones that return the same rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench import grpc_driver, raw_driver
from bench.measuring import Measured, Measuring, Search
from bench.parameters import Parameters
from bench.processes import Driver

RAW = {"embedding": "raw asyncpg, embedding", "text": "raw asyncpg, vectors of texts"}
"""The raw searches by kind of query vector."""
GRPC = {
    grpc_driver.EMBEDDING: "embedding",
    grpc_driver.LIBRARY: "embedding",
    grpc_driver.VECTORS_OF_TEXTS: "text",
    grpc_driver.CACHED_TEXT: "text",
    grpc_driver.NEW_TEXT: "text",
    grpc_driver.NEW_TEN_WORDS: "text",
}
"""The searches through gRPC, and which vectors the raw search has that each is compared with."""

ENCODED = {name: f"raw asyncpg + onnxruntime, {name}" for name in (grpc_driver.NEW_TEXT, grpc_driver.NEW_TEN_WORDS)}
"""The raw searches by new texts that their callers encode, by those through gRPC."""

# How long the rounds are that only choose a form.
_CHOOSING_SHARE = 0.5
_LIBRARY_CALLERS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """A search beside the raw one by the same vectors."""

    measured: Measured
    raw_form: str
    """The form of a raw search; empty for one through gRPC."""
    of_raw: float
    """Its rate, where the raw one's is 1."""
    of_raw_by_round: Sequence[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """All searches, and how the form of the raw ones was chosen."""

    forms: Sequence[Measured]
    searches: Sequence[Compared]


async def compare(
    measuring: Measuring,
    parameters: Parameters,
    *,
    raw: Driver,
    through_grpc: Driver,
    encoding: Driver | None = None,
    numbers_of_callers: Sequence[int],
    texts: bool,
) -> Comparison:
    """Measures both sides in turn, for each number of callers the fastest form of the raw side.

    With `encoding`, new texts are also encoded beside the raw search.
    The Python client is measured by 16 callers.
    """
    forms: list[Measured] = []
    searches: list[Compared] = []
    for callers in numbers_of_callers:
        tried = await measuring.in_turn(
            [Search(name=form, driver=raw, order=raw_driver.order(form, "embedding")) for form in raw_driver.FORMS],
            callers=callers,
            rounds=1,
            share=_CHOOSING_SHARE,
        )
        forms += tried
        fastest = max(tried, key=lambda measured: measured.per_second).name
        kinds = RAW if texts else {"embedding": RAW["embedding"]}
        sides = [Search(name=name, driver=raw, order=raw_driver.order(fastest, kind)) for kind, name in kinds.items()]
        sides += [
            Search(name=f"gRPC, {name}", driver=through_grpc, order=name)
            for name, kind in GRPC.items()
            if kind in kinds and (name != grpc_driver.LIBRARY or callers == _LIBRARY_CALLERS)
        ]
        if encoding is not None:
            sides += [
                Search(name=name, driver=encoding, order=raw_driver.order(fastest, text))
                for text, name in ENCODED.items()
            ]
        measured = await measuring.in_turn(sides, callers=callers, rounds=parameters.rounds)
        searches += _beside_raw({one.name: one for one in measured}, fastest)
    return Comparison(forms=forms, searches=searches)


def _beside_raw(measured: dict[str, Measured], form: str) -> list[Compared]:
    partners = {
        **{name: name for name in RAW.values()},
        **{f"gRPC, {name}": RAW[kind] for name, kind in GRPC.items()},
        **dict.fromkeys(ENCODED.values(), RAW["text"]),
    }
    compared = []
    for name, one in measured.items():
        raw = measured[partners[name]]
        by_round = zip(one.per_second_by_round, raw.per_second_by_round, strict=True)
        compared.append(
            Compared(
                measured=one,
                raw_form=form if name in RAW.values() else "",
                of_raw=one.per_second / raw.per_second,
                of_raw_by_round=[rate / raw_rate for rate, raw_rate in by_round],
            )
        )
    return compared
