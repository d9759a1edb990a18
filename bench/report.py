"""What a run prints, and what it stores."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench import exporting
from bench.comparing import Compared
from bench.corpora import Corpus, Filtered
from bench.growing import Growth
from bench.importing import RAW, ImportMeasured
from bench.measuring import Measured
from bench.parameters import CALLERS, CONNECTIONS, FILTER_CALLERS, LIMIT, Parameters
from bench.targets import Target
from bench.watching import WATCHERS, WRITERS, Watched

_BUSY_LOAD = 0.5
_PARTS = f"  {'driver':>6} {'server':>6} {'postgres':>8}"


def heading(machine: Mapping[str, Any], parameters: Parameters) -> str:
    """Returns what the numbers were measured on and with."""
    versions = machine["versions"]
    lines = [
        f"{machine['cores']} cores, {machine['processor']}, {machine['memory_gib']} GiB;"
        f" PostgreSQL {versions['postgres']}, pgvector {versions['pgvector']}, Python {versions['python']},"
        f" grpcio {versions['grpcio']}, asyncpg {versions['asyncpg']}",
        f"limit {LIMIT}, full view; {CONNECTIONS} database connections a side, one gRPC channel;"
        f" {parameters.rounds} rounds of {parameters.seconds:g} s in turn, all counted together",
    ]
    if machine["load_before"] > _BUSY_LOAD:
        lines.append(f"SOMETHING ELSE IS RUNNING HERE (load {machine['load_before']}): what follows is noise")
    return "\n".join(lines)


def tables(corpus: Corpus) -> str:
    """Returns the tables of one corpus."""
    loaded = corpus.loaded
    lines = [
        "",
        f"{corpus.name}: {corpus.dimensions} dimensions, {corpus.model_id}, ef_search {corpus.ef_search}",
        f"loaded in {loaded.copy_seconds:.1f} s, index built in {loaded.index_seconds:.1f} s;"
        f" table {_megabytes(loaded.table_bytes)}, vector index {_megabytes(loaded.vector_index_bytes)}",
        "",
        f"{'':52} {'':>17} {'latency, ms':^24}  {'CPU ms a search':^22}  {'busy cores':^22}",
        f"{'callers':>7}  {'search':34} {'per s':>7}  {'of raw (rounds)':>17}  {'p50':>7} {'p95':>7} {'p99':>7}"
        + 2 * _PARTS,
        *(_compared_line(compared) for compared in corpus.comparison.searches),
        "",
        _forms(corpus.comparison.forms),
        "",
        f"{'share that passes the filter':>28} {'recall@10':>10} {'exact':>6}"
        + "".join(f" {f'{_callers(callers)}: per s':>18} {'p50 ms':>7} {'p99 ms':>7}" for callers in FILTER_CALLERS),
        *map(_filtered_line, corpus.filtered),
        "",
        *exporting.lines(corpus.exports),
        f"{'':60} {'CPU ms a trace':^22}",
        f"{'streams':>7}  {'import':34} {'per s':>7}  {'of raw (rounds)':>17}{_PARTS}",
        *map(_import_line, corpus.imports),
    ]
    return "\n".join(lines)


def watched(watched: Watched) -> str:
    """Returns the line about watching."""
    return (
        f"\nwatching: told {watched.quiet_p50_ms:.1f} ms (p99 {watched.quiet_p99_ms:.1f}) after a change,"
        f" while {WRITERS} write {watched.busy_p50_ms:.1f} ms (p99 {watched.busy_p99_ms:.1f});"
        f" {watched.edits_per_second:.0f} edits/s unwatched,"
        f" {watched.edits_per_second_watched:.0f} with {WATCHERS} watchers"
    )


def grown(growth: Growth) -> str:
    """Returns the tables of the database that grows."""
    lines = [
        "",
        f"{'traces':>8} {'p50 ms':>7} {'index s':>8} {'server':>8} {'postgres':>9} {'database':>9}",
        *(
            f"{step.traces:>8} {step.measured.p50_ms:7.2f} {step.index_seconds:8.1f} {_megabytes(step.server_bytes):>8}"
            f" {_megabytes(step.postgres_bytes):>9} {_megabytes(step.database_bytes):>9}"
            for step in growth.steps
        ),
        *map(_compared_line, growth.searches),
        *map(_filtered_line, growth.filters),
        *(
            f"{one.measured.name:44} recall {one.recall:.3f}, {one.short} short,"
            f" {one.measured.per_second:.0f} per s by {_callers(one.measured.callers)}"
            for one in growth.baselines
        ),
    ]
    return "\n".join(lines)


def as_json(
    machine: Mapping[str, Any],
    parameters: Parameters,
    corpora: Sequence[Corpus],
    watched: Watched | None,
    growth: Growth | None,
    reached: Sequence[Target],
) -> str:
    """Returns everything."""
    fixed = {"limit": LIMIT, "connections": CONNECTIONS, "channels": 1, "callers": CALLERS}
    chosen = parameters.model_dump(exclude={"results"})
    everything = {
        "machine": dict(machine),
        "parameters": chosen | fixed | {"warm_up_seconds": parameters.warm_up_seconds},
        "corpora": [_rows(corpus) for corpus in corpora],
        "watching": asdict(watched) if watched else None,
        "growth": asdict(growth) if growth else None,
        "targets": [asdict(one) for one in reached],
    }
    return json.dumps(everything, indent=2) + "\n"


def _rows(corpus: Corpus) -> dict[str, Any]:
    """Returns a corpus as a reader of tables wants it: a flat object for each row."""
    return {
        "name": corpus.name,
        "model_id": corpus.model_id,
        "dimensions": corpus.dimensions,
        "ef_search": corpus.ef_search,
        "loaded": asdict(corpus.loaded),
        "raw_forms": [asdict(one) for one in corpus.comparison.forms],
        "searches": [
            {
                **asdict(one.measured),
                "raw_form": one.raw_form,
                "of_raw": one.of_raw,
                "of_raw_by_round": one.of_raw_by_round,
            }
            for one in corpus.comparison.searches
        ],
        "filtered": [
            {"agent_model": one.agent_model, **asdict(one.recall), **asdict(measured)}
            for one in corpus.filtered
            for measured in one.measured
        ],
        "exports": exporting.rows(corpus.exports),
        "imports": [asdict(one) for one in corpus.imports],
    }


def _compared_line(compared: Compared) -> str:
    measured, by_round = compared.measured, compared.of_raw_by_round
    ratio = "" if compared.raw_form else f"{compared.of_raw:.2f} ({min(by_round):.2f}-{max(by_round):.2f})"
    return (
        f"{measured.callers:>7}  {measured.name:34} {measured.per_second:7.0f}  {ratio:>17}"
        f"  {measured.p50_ms:7.2f} {measured.p95_ms:7.2f} {measured.p99_ms:7.2f}"
        + _parts(measured.cpu_ms_a_search)
        + _parts(measured.busy_cores)
    )


def _import_line(measured: ImportMeasured) -> str:
    by_round = measured.of_raw_by_round
    is_raw = measured.name == RAW
    ratio = "" if is_raw else f"{measured.of_raw:.2f} ({min(by_round):.2f}-{max(by_round):.2f})"
    name = f"{measured.name}, {'with' if measured.with_vectors else 'without'} vectors"
    return f"{measured.streams:>7}  {name:34} {measured.per_second:7.0f}  {ratio:>17}" + _parts(measured.cpu_ms_a_trace)


def _parts(values: Mapping[str, float]) -> str:
    return f"  {values['driver']:6.2f} {values['server']:6.2f} {values['postgres']:8.2f}"


def _forms(forms: Sequence[Measured]) -> str:
    tried = [
        f"{_callers(callers)}: "
        + ", ".join(f"{one.name} {one.per_second:.0f}" for one in forms if one.callers == callers)
        for callers in CALLERS
    ]
    return "raw asyncpg, per s; the fastest form is the one above. " + "; ".join(tried)


def _filtered_line(filtered: Filtered) -> str:
    recall = filtered.recall
    speeds = (f" {one.per_second:18.0f} {one.p50_ms:7.2f} {one.p99_ms:7.2f}" for one in filtered.measured)
    return f"{recall.share:>28.1%} {recall.recall:>10.3f} {recall.exact:>6.0%}" + "".join(speeds)


def _callers(callers: int) -> str:
    return "1 caller" if callers == 1 else f"{callers} callers"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
