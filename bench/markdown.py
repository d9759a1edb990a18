"""The results as docs/performance.md has them; `python -m bench.markdown` prints those of the last run again."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.importing import RAW
from bench.parameters import FEW_CALLERS, WRITERS, Parameters
from bench.watching import WATCHERS
from bench.watching import WRITERS as EDITORS

Row = Mapping[str, Any]

_BUSY_LOAD = 0.5
_LATENCY = "p50, p95, p99 ms"
_CPU = "CPU ms: driver, server, Postgres"
_BUSY = ("busy cores", "saturated")


def everything(results: Row) -> Iterator[str]:
    """Yields all lines."""
    yield from conditions(results)
    for one in results["corpora"]:
        yield from corpus(one)
    if results["watching"]:
        yield from watching(results["watching"])
    if results["growth"]:
        yield from growth(results["growth"])
    if results["words"]:
        yield from words(results["words"])
    if results["tag_names"]:
        yield from tag_names(results["tag_names"])
    if results["bulk"]:
        yield from bulk(results["bulk"])
    yield from targets(results["targets"])


def conditions(results: Row) -> Iterator[str]:
    """Yields what the numbers were measured on and with."""
    machine, parameters = results["machine"], results["parameters"]
    versions = machine["versions"]
    yield (
        f"Version {versions['commontrace']} on {machine['cores']} cores ({machine['processor']},"
        f" {machine['memory_gib']} GiB), PostgreSQL {versions['postgres']}, pgvector {versions['pgvector']},"
        f" Python {versions['python']}, grpcio {versions['grpcio']}, asyncpg {versions['asyncpg']};"
        f" {parameters['traces']:,} traces a corpus, limit {parameters['limit']}, full view;"
        f" {parameters['connections']} database connections a side, one gRPC channel;"
        f" {parameters['rounds']} rounds of {parameters['seconds']:g} s in turn, all counted together."
    )
    if machine["load_before"] > _BUSY_LOAD:
        yield f"\n**Something else was running here (load {machine['load_before']}): what follows is noise.**"


def corpus(one: Row) -> Iterator[str]:
    """Yields the tables of one corpus."""
    loaded = one["loaded"]
    yield f"\n### {one['dimensions']} dimensions ({one['model_id']})\n"
    yield (
        f"Copied in {loaded['copy_seconds']:.1f} s, index built in {loaded['index_seconds']:.1f} s; the table takes"
        f" {_megabytes(loaded['table_bytes'])}, the vector index {_megabytes(loaded['vector_index_bytes'])};"
        f" recall@10 {one['recall']:.3f}.\n"
    )
    yield from _searches(one["searches"])
    yield from table(
        ("search", "first message p50, p99 ms", f"last {_LATENCY}", _CPU, *_BUSY),
        [
            (
                row["name"],
                f"{row['first_p50_ms']:.1f}, {row['first_p99_ms']:.1f}",
                _latency(row),
                _cpu(row),
                *_busy(row),
            )
            for row in one["streams"]
        ],
    )
    rates = {row["callers"]: row["per_second"] for row in one["searches"] if row["name"] == "gRPC, embedding"}
    yield from table(
        ("callers", "transport floor", "a search's rate of it", "per s", _LATENCY, _CPU, *_BUSY),
        [
            (
                *(row["callers"], row["name"], f"{rates[row['callers']] / row['per_second']:.2f}"),
                *(f"{row['per_second']:.0f}", _latency(row), _cpu(row), *_busy(row)),
            )
            for row in one["floor"]
        ],
    )
    yield from table(
        (f"by {WRITERS} callers", "per s", _LATENCY, *_BUSY),
        [(row["name"], f"{row['per_second']:.0f}", _latency(row), *_busy(row)) for row in one["writes"]],
    )
    yield from table(
        ("streams", "import", "of raw", "traces per s", _CPU),
        [
            (
                *(row["streams"], f"{row['name']}, {'with' if row['with_vectors'] else 'without'} vectors"),
                *("1" if row["name"] == RAW else _of_raw(row), f"{row['per_second']:.0f}"),
                _numbers(row["cpu_ms_a_trace"].values()),
            )
            for row in one["imports"]
        ],
    )
    yield from table(
        ("export", "of raw", "traces per s"),
        [
            (
                *(row["name"], "1" if row["name"].startswith("raw") else _of_raw(row)),
                f"{row['traces_per_second']:,.0f}",
            )
            for row in one["exports"]
        ],
    )


def watching(watched: Row) -> Iterator[str]:
    """Yields what is said of watching."""
    yield (
        "\n### Watching\n\n"
        f"An event comes {watched['quiet_p50_ms']:.1f} ms (p99 {watched['quiet_p99_ms']:.1f}) after its change was"
        f" acknowledged; while {EDITORS} writers write, {watched['busy_p50_ms']:.1f} ms (p99"
        f" {watched['busy_p99_ms']:.1f}). They make {watched['edits_per_second']:.0f} edits/s unwatched, and"
        f" {watched['edits_per_second_watched']:.0f} with {WATCHERS} watchers in their own process."
    )


def words(worded: Sequence[Row]) -> Iterator[str]:
    """Yields the table of searches by words."""
    sizes = sorted({row["traces"] for row in worded})
    cells = {
        tuple(
            row[name] for name in ("callers", "filter", "question", "traces")
        ): f"{row['p50_ms']:.1f}, {row['p99_ms']:.1f}"
        for row in worded
    }
    yield "\n### Words (HYBRID)\n"
    yield from table(
        ("callers", "filter passes", "question", *(f"{size:,} traces: p50, p99 ms" for size in sizes)),
        [
            (*kind, *(cells[*kind, size] for size in sizes))
            for kind in dict.fromkeys((row["callers"], row["filter"], row["question"]) for row in worded)
        ],
    )


def tag_names(named: Sequence[Row]) -> Iterator[str]:
    """Yields the table of searches with few names of tags and many."""
    yield "\n### Names of tags (HYBRID)\n"
    yield from table(
        ("callers", "names", "traces", "p50, p99 ms"),
        [
            (row["callers"], row["question"], f"{row['traces']:,}", f"{row['p50_ms']:.1f}, {row['p99_ms']:.1f}")
            for row in named
        ],
    )


def growth(grown: Row) -> Iterator[str]:
    """Yields the tables of the database that grows."""
    yield "\n### A database that grows\n"
    yield from table(
        ("traces", f"gRPC, 1 caller: {_LATENCY}", "index built in s", "memory: server, Postgres", "disk"),
        [
            (
                *(f"{row['traces']:,}", _latency(row), f"{row['index_seconds']:.1f}"),
                f"{_megabytes(row['server_bytes'])}, {_megabytes(row['postgres_bytes'])}",
                _megabytes(row["database_bytes"]),
            )
            for row in grown["steps"]
        ],
    )
    yield from _searches(grown["searches"])
    yield from _filtered(grown["filtered"])
    yield from table(
        ("callers", "under the filter of 5 %", "recall@10", "short", "per s", _LATENCY, *_BUSY),
        [
            (
                *(row["callers"], row["name"], *_found(row), f"{row['per_second']:.0f}"),
                *(_latency(row), *_busy(row)),
            )
            for row in grown["baselines"]
        ],
    )


def bulk(loaded: Sequence[Row]) -> Iterator[str]:
    """Yields the table of filling an empty database."""
    yield f"\n### Bulk import of {loaded[0]['traces']:,} traces\n"
    yield from table(
        ("load", "of raw", "traces per s", "CPU ms: Postgres"),
        [
            (row["name"], _of_raw(row), f"{row['per_second']:.0f}", f"{row['postgres_cpu_ms_a_trace']:.2f}")
            for row in loaded
        ],
    )


def targets(reached: Iterable[Row]) -> Iterator[str]:
    """Yields the table of targets."""
    yield "\n### Targets\n"
    answers = {None: "not measured", True: "yes", False: "**no**"}
    yield from table(
        ("target", "wanted", "measured", "reached"),
        [
            (
                *(row["name"], row["target"], "-" if row["measured"] is None else f"{row['measured']:.2f}"),
                answers[row["ok"]],
            )
            for row in reached
        ],
    )


def _searches(rows: Iterable[Row]) -> Iterator[str]:
    yield from table(
        ("callers", "search", "of raw", "per s", _LATENCY, _CPU, *_BUSY),
        [
            (
                *(row["callers"], f"{row['name']} ({row['raw_form']})" if row["raw_form"] else row["name"]),
                *("1" if row["raw_form"] else _of_raw(row), f"{row['per_second']:.0f}"),
                *(_latency(row), _cpu(row), *_busy(row)),
            )
            for row in rows
        ],
    )


def _filtered(rows: Sequence[Row]) -> Iterator[str]:
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row["filter"], []).append(row)
    rates = [f"per s, p50, p99 ms; callers: {callers}" for callers in FEW_CALLERS]
    yield from table(
        ("filter", "pass", "recall@10", "completed", *rates),
        [
            (
                *(name, f"{one['share']:.4%}", f"{one['recall']:.3f}", f"{one['exact']:.0%}"),
                *(f"{row['per_second']:.0f}, {row['p50_ms']:.1f}, {row['p99_ms']:.1f}" for row in (one, *others)),
            )
            for name, (one, *others) in by_name.items()
        ],
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Yields a table whose columns are as wide as their widest cell; nothing for no rows."""
    if not rows:
        return
    cells = [headers, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    first, *others = ("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells)
    yield first
    yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    yield from others
    yield ""


def _of_raw(row: Row) -> str:
    return f"{row['of_raw']:.2f} ({min(row['of_raw_by_round']):.2f}-{max(row['of_raw_by_round']):.2f})"


def _latency(row: Row) -> str:
    return ", ".join(f"{row[f'p{percent}_ms']:.1f}" for percent in (50, 95, 99))


def _cpu(row: Row) -> str:
    return _numbers(row["cpu_ms_a_search"].values())


def _busy(row: Row) -> tuple[str, str]:
    return _numbers(row["busy_cores"].values()), row["saturated"] or "-"


def _found(row: Row) -> tuple[str, str]:
    return ("see above", "0") if row["recall"] is None else (f"{row['recall']:.3f}", str(row["short"]))


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


if __name__ == "__main__":
    print("\n".join(everything(json.loads(Parameters().results.read_text()))))
