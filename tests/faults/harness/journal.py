"""Journal of clients' operations and their outcomes: ok, refused, or unknown."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import inf
from pathlib import Path

from tests.faults.harness.figure import Figure

FILE = "journal.jsonl"


class Outcome(StrEnum):
    """Outcome of an operation, as its client knows it."""

    OK = "ok"
    FAILED = "failed"
    """Nothing was done: the service said so."""
    UNKNOWN = "unknown"
    """It may have been done, now or later."""


@dataclass(kw_only=True, slots=True)
class Operation:
    """One operation of a client, with all its repetitions. Times are in seconds of one clock."""

    client: int
    register: str
    """What is written or read: written by one client alone, one operation after the other."""
    value: str = ""
    is_write: bool = True
    began: float = 0.0
    ended: float = inf
    outcome: Outcome = Outcome.UNKNOWN
    attempts: int = 0
    unexplained: int = 0
    """How many of them were answered by what no fault explains."""


class Journal:
    """Every operation in the order in which they began; a line each in a file, when they end."""

    def __init__(self, place: Path) -> None:
        """Takes the directory of the file."""
        self._file = place / FILE
        self.operations: list[Operation] = []

    @contextmanager
    def entry(self, operation: Operation) -> Iterator[Operation]:
        """Notes when the operation of the block begins and ends; the block notes its outcome."""
        self.operations.append(operation)
        operation.began = time.monotonic()
        try:
            yield operation
        finally:
            # What is unknown may still be done.
            if operation.outcome is not Outcome.UNKNOWN:
                operation.ended = time.monotonic()
            with self._file.open("a") as lines:
                lines.write(json.dumps(asdict(operation)) + "\n")

    def unexplained(self) -> Figure:
        """Answers by which the service says that it does not know what went wrong."""
        count = sum(operation.unexplained for operation in self.operations)
        attempts = sum(operation.attempts for operation in self.operations)
        return Figure(name="answers INTERNAL or UNKNOWN", target="0", measured=f"{count} of {attempts}", ok=count == 0)

    def count(self) -> Counter[Outcome]:
        """How many there are of each outcome."""
        return Counter(operation.outcome for operation in self.operations)
