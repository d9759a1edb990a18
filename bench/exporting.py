"""Exports through gRPC beside the same rows read by raw asyncpg, in turn."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench import export_driver
from bench.export_driver import GRPC, RAW
from bench.measuring import Measured, Measuring, Search
from bench.orders import Task
from bench.parameters import Parameters
from bench.processes import driving

# An export takes long enough to be measured in short rounds: one that has begun is brought to its end.
_MOST_ROUNDS, _ROUND_SHARE = 2, 0.4


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """So many traces a time, by one caller, with vectors or without; what is measured are whole exports."""

    with_vectors: bool
    traces: int
    raw: Measured
    through_grpc: Measured

    @property
    def of_raw_by_round(self) -> list[float]:
        """The rate through gRPC, where the raw one's is 1."""
        rates = zip(self.through_grpc.per_second_by_round, self.raw.per_second_by_round, strict=True)
        return [rate / raw_rate for rate, raw_rate in rates]

    @property
    def of_raw(self) -> float:
        """The same, all rounds together."""
        return self.through_grpc.per_second / self.raw.per_second


async def measure(measuring: Measuring, parameters: Parameters, task: Task) -> Sequence[Exported]:
    """Measures both sides, without vectors and with them. Raises RunFailed."""
    exports = []
    async with driving(task, "bench.export_driver") as [driver]:
        for with_vectors in (False, True):
            sides = [
                Search(
                    name=f"{side}, export, {_vectors(with_vectors=with_vectors)}",
                    driver=driver,
                    order=export_driver.order(side, with_vectors=with_vectors),
                )
                for side in (RAW, GRPC)
            ]
            rounds = min(parameters.rounds, _MOST_ROUNDS)
            raw, through_grpc = await measuring.in_turn(sides, callers=1, rounds=rounds, share=_ROUND_SHARE)
            exports.append(
                Exported(with_vectors=with_vectors, traces=task.exported, raw=raw, through_grpc=through_grpc)
            )
    return exports


def rows(exports: Sequence[Exported]) -> list[dict[str, Any]]:
    """Returns the same as flat objects, with the rates of traces."""
    return [
        {
            "name": measured.name,
            "with_vectors": one.with_vectors,
            "traces": one.traces,
            "traces_per_second": measured.per_second * one.traces,
            "of_raw": of_raw,
            "of_raw_by_round": by_round,
            "exports": asdict(measured),
        }
        for one in exports
        for measured, of_raw, by_round in (
            (one.raw, 1.0, [1.0] * len(one.of_raw_by_round)),
            (one.through_grpc, one.of_raw, one.of_raw_by_round),
        )
    ]


def _vectors(*, with_vectors: bool) -> str:
    return "with vectors" if with_vectors else "no vectors"
