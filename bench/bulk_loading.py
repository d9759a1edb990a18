"""A bulk import of traces with vectors into an empty database, beside raw COPY and CREATE INDEX of the same rows."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import numpy as np

from bench import corpora, corpus, cpu
from bench.copy_driver import COLUMNS, VECTOR_COLUMNS
from bench.failures import RunFailed
from bench.import_orders import DIFFERENT_TEXTS, Given, traces_to_store
from bench.parameters import Parameters
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.settings import Settings
from commontrace.storage import migrations, vector_type
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.models import VECTOR_INDEX_NAME

BULK, RAW = "commontrace bulk-import", "raw asyncpg, COPY, then CREATE INDEX"
_SEED = 900
# What the command sets for 20,000 traces and more, or what serves it as well.
_BUILD_SETTINGS = "SET maintenance_work_mem = '1GB'; SET min_parallel_table_scan_size = 0"


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkLoaded:
    """One side; all rounds together, unless it says otherwise. Ratios are of the raw side's rate."""

    name: str
    traces: int
    per_second: float
    per_second_by_round: Sequence[float]
    postgres_cpu_ms_a_trace: float
    of_raw: float
    of_raw_by_round: Sequence[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Round:
    seconds: float
    postgres_cpu_seconds: float


async def measure(
    parameters: Parameters, postgres: embedded_postgres.EmbeddedPostgres, place: Path
) -> list[BulkLoaded]:
    """Fills an empty database by each side in turn. Raises RunFailed."""
    embedder = LexicalEmbedder(parameters.dimensions)
    given = traces_to_store(parameters.traces, _SEED, parameters.dimensions, corpus.texts(DIFFERENT_TEXTS))
    file = place / "bulk.jsonl"
    await asyncio.to_thread(_write, file, given, embedder)
    rounds: dict[str, list[_Round]] = {BULK: [], RAW: []}
    try:
        for number in range(parameters.rounds):
            for name in (RAW, BULK) if number % 2 == 0 else (BULK, RAW):
                async with corpora.database(postgres.url) as url:
                    await migrations.upgrade(url, embedder)
                    before, began = _postgres_seconds(postgres), time.perf_counter()
                    if name == RAW:
                        await _copy(corpora.dsn_of(url), given, embedder)
                    else:
                        await _import(url, file, parameters, place)
                    seconds = time.perf_counter() - began
                    cpu_seconds = _postgres_seconds(postgres) - before
                    rounds[name].append(_Round(seconds=seconds, postgres_cpu_seconds=cpu_seconds))
                    await _check(corpora.dsn_of(url), parameters.traces)
    finally:
        file.unlink()
    return [_beside_raw(name, rounds[name], rounds[RAW], parameters.traces) for name in (RAW, BULK)]


def _write(file: Path, given: Sequence[Given], embedder: LexicalEmbedder) -> None:
    with file.open("w") as lines:
        for one in given:
            packed = np.asarray(one.vector, dtype="<f4").tobytes()
            line = {
                "id": str(one.id),
                "title": one.title,
                "context": one.context,
                "solution": one.solution,
                "tags": one.tags,
                "embedding": {"packed_f32": base64.b64encode(packed).decode(), "model_id": embedder.model_id},
            }
            lines.write(json.dumps(line) + "\n")


async def _copy(dsn: str, given: Sequence[Given], embedder: LexicalEmbedder) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await vector_type.register(connection)
        definition = await connection.fetchval("SELECT pg_get_indexdef($1::regclass)", VECTOR_INDEX_NAME)
        await connection.execute(f"DROP INDEX {VECTOR_INDEX_NAME}")
        owner = await connection.fetchval(
            "INSERT INTO users (id, email) VALUES (gen_random_uuid(), 'bench@example.org') RETURNING id"
        )
        model = (embedder.model_id, embedder.model_version)
        rows = ((one.id, one.title, one.context, one.solution, owner, one.vector, *model) for one in given)
        await connection.copy_records_to_table("traces", columns=COLUMNS + VECTOR_COLUMNS, records=rows)
        await connection.execute(_BUILD_SETTINGS)
        await connection.execute(definition)
    finally:
        await connection.close()


async def _import(url: str, file: Path, parameters: Parameters, place: Path) -> None:
    """Runs the command, which begins and ends within what is measured."""
    ours = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name.upper() not in ours}
    settings = corpora.server_settings(corpora.lexical(parameters.dimensions))
    log = place / "bulk.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "commontrace", "bulk-import", str(file), "--rebuild"),
            env=environment | {"DATABASE_URL": url} | settings,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            process_group=0,
        )
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if code:
        raise RunFailed(f"the bulk import ended with {code}: {log.read_text(errors='replace')[-2000:]}")
    log.unlink()


async def _check(dsn: str, traces: int) -> None:
    """Raises RunFailed unless all traces are stored and the index is complete."""
    connection = await asyncpg.connect(dsn)
    try:
        stored = await connection.fetchval("SELECT count(*) FROM traces WHERE embedding IS NOT NULL")
        is_valid = await connection.fetchval(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", VECTOR_INDEX_NAME
        )
    finally:
        await connection.close()
    if stored != traces or not is_valid:
        raise RunFailed(f"{stored} of {traces} traces were stored, and the index is {'' if is_valid else 'in'}complete")


def _postgres_seconds(postgres: embedded_postgres.EmbeddedPostgres) -> float:
    return cpu.seconds_of({"postgres": postgres.pid})["postgres"]


def _beside_raw(name: str, rounds: Sequence[_Round], raw: Sequence[_Round], traces: int) -> BulkLoaded:
    seconds = sum(one.seconds for one in rounds)
    return BulkLoaded(
        name=name,
        traces=traces,
        per_second=traces * len(rounds) / seconds,
        per_second_by_round=[traces / one.seconds for one in rounds],
        postgres_cpu_ms_a_trace=1000 * sum(one.postgres_cpu_seconds for one in rounds) / (traces * len(rounds)),
        of_raw=sum(one.seconds for one in raw) / seconds,
        of_raw_by_round=[beside.seconds / one.seconds for beside, one in zip(raw, rounds, strict=True)],
    )


def of_raw(loaded: Sequence[BulkLoaded]) -> float | None:
    """Returns the command's rate, where the raw one is 1; None where it was not measured."""
    by_name: Mapping[str, BulkLoaded] = {one.name: one for one in loaded}
    return by_name[BULK].of_raw if BULK in by_name else None
