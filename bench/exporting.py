"""Exports through gRPC beside the same rows read by raw asyncpg."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.measuring import Measured, Measuring
from bench.orders import Task
from bench.processes import driving

_ROUNDS = 3
# As short as a round can be: an export that has begun is brought to its end.
_ROUND_SHARE = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What both sides export, and how fast."""

    embeddings: bool
    traces: int
    through_grpc: Measured
    raw: Measured

    @property
    def traces_per_second(self) -> float:
        """Through gRPC."""
        return self.traces * self.through_grpc.per_second

    @property
    def of_raw_by_round(self) -> list[float]:
        """The rate through gRPC, where the raw one's is 1."""
        rates = zip(self.through_grpc.per_second_by_round, self.raw.per_second_by_round, strict=True)
        return [rate / raw_rate for rate, raw_rate in rates]

    @property
    def of_raw(self) -> float:
        """The same, all rounds together."""
        return self.through_grpc.per_second / self.raw.per_second


async def measure(measuring: Measuring, task: Task) -> Sequence[Exported]:
    """Measures both sides in turn, with vectors and without. Raises RunFailed."""
    async with driving("bench.export_driver", task) as driver:
        return [await _measured(measuring, driver, task, embeddings=embeddings) for embeddings in (False, True)]


def line(exported: Exported) -> str:
    """Returns a line of the report."""
