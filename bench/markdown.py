"""Prints the results of the last run as docs/performance.md has them: `.venv/bin/python -m bench.markdown`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bench.importing import RAW
from bench.parameters import CALLERS, Parameters

_SEARCHES = """
| callers | search | of raw | per s | p50, p95, p99 ms | CPU ms a search: driver, server, Postgres | busy cores |
|---|---|---|---|---|---|---|"""

_IMPORTS = """
| streams | import | of raw | traces per s | CPU ms a trace: driver, server, Postgres |
|---|---|---|---|---|"""


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
        rates = " | ".join(f"per s, callers: {callers}" for callers in CALLERS)
        yield f"| pass the filter | recall@10 | completed | {rates} |"
        yield "|---|---|---|" + "---|" * len(CALLERS)
        for model in dict.fromkeys(row["agent_model"] for row in corpus["filtered"]):
            yield _filtered([row for row in corpus["filtered"] if row["agent_model"] == model])
        yield _IMPORTS
        yield from map(_import, corpus["imports"])


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


def _filtered(rows: list[Mapping[str, Any]]) -> str:
    one, rates = rows[0], " | ".join(f"{row['per_second']:.0f}" for row in rows)
    return f"| {one['share']:.1%} | {one['recall']:.3f} | {one['exact']:.0%} | {rates} |"


if __name__ == "__main__":
    for line in section(json.loads(Parameters().results.read_text())):
        print(line)
