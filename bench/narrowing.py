"""Filters of the measured searches: parts of the corpus, by each kind of filter."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from bench import corpus
from commontrace.client import TraceFilter
from commontrace.v1.trace_pb2 import TRACE_STATUS_VALIDATED

USER = UUID("5b1d6a0e-3f0e-4c8e-9a55-0c6f2d1f7f10")
"""Who contributes what belongs to no part by contributor."""
VALIDATED = "frequent"
"""The part by status that is validated; the rest is pending."""
AGENT_MODEL, TAG, CONTRIBUTOR, STATUS, NAMESPACE = "agent model", "tag", "contributor", "status", "namespace"
# Of the permutations.
_SEEDS = {AGENT_MODEL: 4, TAG: 14, CONTRIBUTOR: 24, STATUS: 34, NAMESPACE: 44}
NAMESPACES = [f"team-{number:02}" for number in range(20)]
"""The namespaces that all traces are in, as many in each. A caller bound to one searches 5 % of the corpus."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Narrowing:
    """One part of the corpus, by one kind of filter."""

    field: str
    part: str

    @property
    def name(self) -> str:
        """Names both."""
        return f"{self.field}: {self.part}"

    def trace_filter(self) -> TraceFilter:
        """Returns what a search is sent with."""
        match self.field:
            case "tag":
                return TraceFilter(tags_all=[self.part])
            case "contributor":
                return TraceFilter(contributor_ids=[str(contributor(self.part))])
            case "status":
                return TraceFilter(statuses=[TRACE_STATUS_VALIDATED])
            case "namespace":
                # Of a caller bound to it, the server makes the same statements.
                return TraceFilter(namespaces=[self.part])
            case _:
                return TraceFilter(agent_models=[self.part])

    def passing(self, count: int) -> NDArray[np.intp]:
        """Returns the numbers of the traces that pass, of so many."""
        return np.flatnonzero(np.array(parts(self.field, count)) == self.part)


NARROWINGS: Sequence[Narrowing] = (
    *(Narrowing(field=field, part=part) for field in (TAG, CONTRIBUTOR) for part in corpus.SHARES),
    Narrowing(field=STATUS, part=VALIDATED),
    Narrowing(field=AGENT_MODEL, part="uncommon"),
    Narrowing(field=NAMESPACE, part=NAMESPACES[0]),
)
"""Everything that is measured."""


def parts(field: str, count: int) -> list[str]:
    """Returns the parts that so many traces belong to by this kind of filter."""
    if field == NAMESPACE:
        numbers = np.random.default_rng(_SEEDS[NAMESPACE]).permutation(count)
        return [NAMESPACES[number % len(NAMESPACES)] for number in numbers]
    return corpus.parts(count, seed=_SEEDS[field])


def contributor(part: str) -> UUID:
    """Returns the user who contributed a part."""
    return uuid5(USER, part) if part else USER


def namespace_id(name: str) -> UUID:
    """Returns the id of a namespace."""
    return uuid5(USER, name)


def tags(number: int, part: str) -> list[str]:
    """Returns the tags of a trace: those of its number, of which its part takes the last one's place."""
    names = [corpus.TAGS[(number + 7 * offset) % len(corpus.TAGS)] for offset in range(corpus.TAGS_A_TRACE)]
    return [*names[:-1], part] if part else names


def matches(count: int) -> dict[str, int]:
    """Returns how many of so many traces pass each narrowing, by its name."""
    return {one.name: len(one.passing(count)) for one in NARROWINGS}
