"""Consistency model: registers that one client each writes, one write after the other, and anyone reads.

Every acknowledged write took effect once between its call and its answer; one without an answer may take effect at any
time, or never. For such registers, a read is right if it returns what some write left that can have been the last one,
and nothing older than what a read before it returned.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf

from tests.faults.harness.journal import Operation, Outcome

ABSENT = "absent"
"""What is read of a register before its first write."""
FINAL_READER = -1
"""Who reads every register at the end."""


@dataclass(kw_only=True)
class Violations:
    """Violations of the model, a line each."""

    lost: list[str] = field(default_factory=list)
    """At the end, an acknowledged write is not there."""
    stale: list[str] = field(default_factory=list)
    """A read before the end returned what had been overwritten, or what nobody wrote."""
    own: int = 0
    """Of the stale ones, reads by the register's writer."""


def violations(operations: Iterable[Operation]) -> Violations:
    """Returns what is wrong with a history."""
    found = Violations()
    by_register: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.outcome is not Outcome.FAILED:
            by_register[operation.register].append(operation)
    for operations_of_one in by_register.values():
        writes = [one for one in operations_of_one if one.is_write]
        reads = [one for one in operations_of_one if not one.is_write and one.outcome is Outcome.OK]
        _check(writes, sorted(reads, key=lambda read: read.began), found)
    return found


def _check(writes: Sequence[Operation], reads: Sequence[Operation], found: Violations) -> None:
    values = [ABSENT, *(write.value for write in writes)]
    seen: list[tuple[float, int]] = []
    for read in reads:
        acknowledged = [place for place, write in enumerate(writes, 1) if write.ended <= read.began]
        begun = [place for place, write in enumerate(writes, 1) if write.began <= read.ended]
        least = max([0, *acknowledged[-1:], *(place for ended, place in seen if ended <= read.began)])
        most = max([0, *begun[-1:]])
        places = [place for place in range(least, most + 1) if values[place] == read.value]
        if places:
            seen.append((read.ended, places[0]))
        elif read.client == FINAL_READER:
            found.lost.append(_line(read, values[least]))
        else:
            found.stale.append(_line(read, values[least]))
            found.own += bool(writes) and writes[0].client == read.client


def _line(read: Operation, expected: str) -> str:
    return f"{read.register}: client {read.client} read {read.value} at {read.began:.3f}, expected {expected} or later"


def check_writers(operations: Iterable[Operation]) -> None:
    """Raises AssertionError unless each register has one writer, who waits for an answer before writing again."""
    last: dict[str, Operation] = {}
    for operation in operations:
        if operation.is_write and operation.outcome is not Outcome.FAILED:
            before = last.get(operation.register)
            assert before is None or before.client == operation.client, operation
            assert before is None or (before.ended < inf and before.ended <= operation.began), operation
            last[operation.register] = operation
