"""Imports through gRPC beside raw COPY into the same table, in turn."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from bench import cpu
from bench.import_orders import ImportTask
from bench.parameters import Parameters
from bench.processes import Driver, driving
from commontrace.embeddings.embedder import Embedder

STREAMS = (1, 4)
"""Imports, or connections that copy, at once."""
GRPC, RAW = "gRPC, import", "raw asyncpg, COPY"
# Of the seeds of the vectors; those of loading and searching are smaller.
_FIRST_SEED = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportMeasured:
    """One side with so many streams; all rounds together, unless it says otherwise."""

    name: str
    with_vectors: bool
    streams: int
    traces: int
    per_second: float
    per_second_by_round: Sequence[float]
    cpu_ms_a_trace: Mapping[str, float]
    """By driver, server and postgres: milliseconds of processor time."""
    of_raw: float
    """Its rate, where the raw one's is 1."""
    of_raw_by_round: Sequence[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Round:
    seconds: float
    cpu_seconds: Mapping[str, float]


async def measure(
    parameters: Parameters, *, address: str, dsn: str, embedder: Embedder, server_pid: int, postgres_pid: int
) -> list[ImportMeasured]:
    """Stores traces with vectors, then without, and takes what was stored out again. Raises RunFailed."""
    connection = await asyncpg.connect(dsn)
    try:
        contributor_id = await connection.fetchval("SELECT id FROM users LIMIT 1")
    finally:
        await connection.close()
    task = ImportTask(
        address=address,
        dsn=dsn,
        model_id=embedder.model_id,
        model_version=embedder.model_version,
        dimensions=embedder.dimensions,
        contributor_id=str(contributor_id),
    )
    asked = {"server": server_pid, "postgres": postgres_pid}
    measured: list[ImportMeasured] = []
    async with driving(task, "bench.copy_driver", "bench.import_driver") as (raw, through_grpc):
        drivers = {RAW: raw, GRPC: through_grpc}
        seed = _FIRST_SEED
        for with_vectors in (True, False):
            for streams in STREAMS:
                rounds: dict[str, list[_Round]] = {name: [] for name in drivers}
                for number in range(parameters.rounds):
                    # Whoever comes second finds a larger table: in turn.
                    for name in (RAW, GRPC) if number % 2 == 0 else (GRPC, RAW):
                        seed += 1
                        order = {"traces": parameters.imports, "streams": streams, "with_vectors": with_vectors}
                        rounds[name].append(await _round(drivers[name], order | {"seed": seed}, asked))
                measured += _beside_raw(rounds, parameters.imports, streams=streams, with_vectors=with_vectors)
    return measured


async def _round(driver: Driver, order: Mapping[str, object], asked: Mapping[str, int]) -> _Round:
    await driver.order(json.dumps(order))
    processes = {"driver": driver.pid, **asked}
    before = cpu.seconds_of(processes)
    reply = await driver.order("go")
    after = cpu.seconds_of(processes)
    return _Round(seconds=reply["seconds"], cpu_seconds={name: after[name] - before[name] for name in processes})


def _beside_raw(
    rounds: Mapping[str, Sequence[_Round]], traces: int, *, streams: int, with_vectors: bool
) -> list[ImportMeasured]:
    seconds = {name: sum(one.seconds for one in of_it) for name, of_it in rounds.items()}
    return [
        ImportMeasured(
            name=name,
            with_vectors=with_vectors,
            streams=streams,
            traces=traces * len(of_it),
            per_second=traces * len(of_it) / seconds[name],
            per_second_by_round=[traces / one.seconds for one in of_it],
            cpu_ms_a_trace={
                part: 1000 * sum(one.cpu_seconds[part] for one in of_it) / (traces * len(of_it))
                for part in of_it[0].cpu_seconds
            },
            of_raw=seconds[RAW] / seconds[name],
            of_raw_by_round=[raw.seconds / one.seconds for raw, one in zip(rounds[RAW], of_it, strict=True)],
        )
        for name, of_it in rounds.items()
    ]
