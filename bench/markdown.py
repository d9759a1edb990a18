"""Prints the results of the last run as docs/performance.md has them: `.venv/bin/python -m bench.markdown`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bench.importing import RAW
from bench.parameters import FILTER_CALLERS, Parameters
from bench.watching import WATCHERS, WRITERS

_SEARCHES = """
| callers | search | of raw | per s | p50, p95, p99 ms | CPU ms a search: driver, server, Postgres | busy cores |
|---|---|---|---|---|---|---|"""

_IMPORTS = """
| streams | import | of raw | traces per s | CPU ms a trace: driver, server, Postgres |
|---|---|---|---|---|"""

_EXPORTS = """
| export | of raw | traces per s |
|---|---|---|"""


def section(results: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of the section."""
    machine, parameters = results["machine"], results["parameters"]
    versions = machine["versions"]
    yield (
        f"Version {versions['commontrace']} on {machine['cores']} cores ({machine['processor']},"
        f" {machine['memory_gib']} GiB), PostgreSQL {versions['postgres']}, pgvector {versions['pgvector']},"
        f" Python {versions['python']}, grpcio {versions['grpcio']}; {parameters['traces']:,} traces a corpus."
    )
    for corpus in results["corpora"]:
        loaded = corpus["loaded"]
        yield f"\n### {corpus['dimensions']} dimensions ({corpus['model_id']})\n"
        yield (
            f"Copied in {loaded['copy_seconds']:.1f} s, index built in {loaded['index_seconds']:.1f} s; the table takes"
            f" {loaded['table_bytes'] / 1e6:.0f} MB, the vector index {loaded['vector_index_bytes'] / 1e6:.0f} MB."
        )
        yield _SEARCHES
        yield from map(_search, corpus["searches"])
        yield ""
        rates = " | ".join(f"per s, callers: {callers}" for callers in FILTER_CALLERS)
        yield f"| pass the filter | recall@10 | completed | {rates} |"
        yield "|---|---|---|" + "---|" * len(FILTER_CALLERS)
        for model in dict.fromkeys(row["agent_model"] for row in corpus["filtered"]):
            yield _filtered([row for row in corpus["filtered"] if row["agent_model"] == model])
        yield _IMPORTS
        yield from map(_import, corpus["imports"])
        yield _EXPORTS
        yield from map(_export, corpus["exports"])
    if (watched := results["watching"]) is None:
        return
    yield (
        "\n### Watching\n\n"
        f"An event comes {watched['quiet_p50_ms']:.1f} ms (p99 {watched['quiet_p99_ms']:.1f}) after its change was"
        f" acknowledged; while {WRITERS} writers write, {watched['busy_p50_ms']:.1f} ms (p99"
        f" {watched['busy_p99_ms']:.1f}). They make {watched['edits_per_second']:.0f} edits/s unwatched, and"
        f" {watched['edits_per_second_watched']:.0f} with {WATCHERS} watchers in their own process."
    )


def _search(row: Mapping[str, Any]) -> str:
    ratio = f"{row['of_raw']:.2f} ({min(row['of_raw_by_round']):.2f}-{max(row['of_raw_by_round']):.2f})"
    cells = (
        str(row["callers"]),
        f"{row['name']} ({row['raw_form']})" if row["raw_form"] else row["name"],
        "1" if row["raw_form"] else ratio,
        f"{row['per_second']:.0f}",
        f"{row['p50_ms']:.1f}, {row['p95_ms']:.1f}, {row['p99_ms']:.1f}",
        ", ".join(f"{value:.2f}" for value in row["cpu_ms_a_search"].values()),
        ", ".join(f"{value:.2f}" for value in row["busy_cores"].values()),
    )
    return f"| {' | '.join(cells)} |"


def _import(row: Mapping[str, Any]) -> str:
    ratio = f"{row['of_raw']:.2f} ({min(row['of_raw_by_round']):.2f}-{max(row['of_raw_by_round']):.2f})"
    cells = (
        str(row["streams"]),
        f"{row['name']}, {'with' if row['with_vectors'] else 'without'} vectors",
        "1" if row["name"] == RAW else ratio,
        f"{row['per_second']:.0f}",
        ", ".join(f"{value:.2f}" for value in row["cpu_ms_a_trace"].values()),
    )
    return f"| {' | '.join(cells)} |"


def _export(row: Mapping[str, Any]) -> str:
    by_round = row["of_raw_by_round"]
    ratio = f"{row['of_raw']:.2f} ({min(by_round):.2f}-{max(by_round):.2f})"
    is_raw = row["name"].startswith("raw")
    return f"| {row['name']} | {'1' if is_raw else ratio} | {row['traces_per_second']:,.0f} |"


def _filtered(rows: list[Mapping[str, Any]]) -> str:
    one, rates = rows[0], " | ".join(f"{row['per_second']:.0f}" for row in rows)
    return f"| {one['share']:.1%} | {one['recall']:.3f} | {one['exact']:.0%} | {rates} |"


if __name__ == "__main__":
    for line in section(json.loads(Parameters().results.read_text())):
        print(line)
