"""Stored results of a run: flat objects, for readers of tables."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench import exporting
from bench.comparing import Compared
from bench.corpora import Corpus
from bench.filtering import Filtered
from bench.growing import Growth
from bench.iterative import Baseline
from bench.parameters import CONNECTIONS, LIMIT, Parameters


def conditions(machine: Mapping[str, Any], parameters: Parameters) -> dict[str, Any]:
    """Returns what the numbers are measured on and with."""
    fixed = {"limit": LIMIT, "connections": CONNECTIONS, "channels": 1}
    chosen = parameters.model_dump(exclude={"results"})
    return {
        "machine": dict(machine),
        "parameters": chosen | fixed | {"warm_up_seconds": parameters.warm_up_seconds},
    }


def corpus_rows(corpus: Corpus) -> dict[str, Any]:
    """Returns everything measured on a corpus."""
    return {
        "name": corpus.name,
        "model_id": corpus.model_id,
        "dimensions": corpus.dimensions,
        "ef_search": corpus.ef_search,
        "loaded": asdict(corpus.loaded),
        "recall": corpus.recall.recall,
        "raw_forms": [asdict(one) for one in corpus.comparison.forms],
        "searches": _compared(corpus.comparison.searches),
        "streams": [asdict(one) for one in corpus.streams],
        "floor": [asdict(one) for one in corpus.floor],
        "writes": [asdict(one) for one in corpus.writes],
        "exports": exporting.rows(corpus.exports),
        "imports": [asdict(one) for one in corpus.imports],
    }


def growth_rows(growth: Growth) -> dict[str, Any]:
    """Returns everything measured on the database that grows."""
    return {
        "steps": [
            {
                "traces": step.traces,
                "index_seconds": step.index_seconds,
                "server_bytes": step.server_bytes,
                "postgres_bytes": step.postgres_bytes,
                "database_bytes": step.database_bytes,
                **asdict(step.measured),
            }
            for step in growth.steps
        ],
        "raw_forms": [asdict(one) for one in growth.raw_forms],
        "searches": _compared(growth.searches),
        "filtered": _filtered(growth.filters),
        "baselines": [row for one in growth.baselines for row in _baseline(one)],
    }


def _compared(searches: Sequence[Compared]) -> list[dict[str, Any]]:
    return [
        {
            **asdict(one.measured),
            "raw_form": one.raw_form,
            "of_raw": one.of_raw,
            "of_raw_by_round": one.of_raw_by_round,
        }
        for one in searches
    ]


def _filtered(filtered: Sequence[Filtered]) -> list[dict[str, Any]]:
    return [
        {"filter": one.name, **asdict(one.recall), **asdict(measured)} for one in filtered for measured in one.measured
    ]


def _baseline(one: Baseline) -> list[dict[str, Any]]:
    return [
        {"ef_search": one.ef_search, "recall": one.recall, "short": one.short, **asdict(one.measured)},
        {"ef_search": None, "recall": None, "short": None, **asdict(one.through_grpc)},
    ]
