"""The results as a picture: `results.png` beside `results.json`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.parameters import FEW_CALLERS, Parameters

_INCHES = (13, 9)
_CALLERS = FEW_CALLERS[-1]
_NAMES = ("raw asyncpg, embedding", "gRPC, embedding")
_PERCENTILES = {"p50_ms": "-", "p95_ms": "--", "p99_ms": ":"}


def draw(results: Mapping[str, Any], picture: Path) -> None:
    """Writes a PNG; what the run left out stays empty."""
    figure = Figure(figsize=_INCHES, layout="constrained")
    ((rates, latencies), (filters, growth)) = figure.subplots(2, 2)
    first = results["corpora"][0] if results["corpora"] else None
    grown = results["growth"]
    if first:
        _rates(rates, first["searches"], f"{results['parameters']['traces']:,} traces")
        _line(rates, first["floor"], "per_second", "transport floor", "^-")
        _latencies(latencies, first["searches"])
    if grown:
        _filters(filters, grown["filtered"])
        _rates(rates, grown["searches"], f"{grown['steps'][-1]['traces']:,} traces")
        steps = grown["steps"]
        for percentile, style in _PERCENTILES.items():
            label = percentile.removesuffix("_ms")
            growth.plot([row["traces"] for row in steps], [row[percentile] for row in steps], f"o{style}", label=label)
    _finish(rates, "Searches a second", "callers", "per s")
    _finish(latencies, "How long a search takes", "callers", "ms")
    _finish(filters, f"Under filters, {_CALLERS} callers", "share of the traces that pass", "per s")
    _finish(growth, "As the database grows, 1 caller", "traces", "ms")
    figure.savefig(picture)


def _rates(axes: Axes, rows: Sequence[Mapping[str, Any]], which: str) -> None:
    for name, style in zip(_NAMES, ("o--", "s-"), strict=True):
        _line(axes, [row for row in rows if row["name"] == name], "per_second", f"{name}, {which}", style)


def _latencies(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for name, colour in zip(_NAMES, ("tab:grey", "tab:blue"), strict=True):
        ours = [row for row in rows if row["name"] == name]
        for percentile, style in _PERCENTILES.items():
            label = f"{name}, {percentile.removesuffix('_ms')}"
            _line(axes, ours, percentile, label, f"o{style}", color=colour)


def _line(axes: Axes, rows: Sequence[Mapping[str, Any]], what: str, label: str, style: str, **how: Any) -> None:
    axes.plot([row["callers"] for row in rows], [row[what] for row in rows], style, label=label, **how)


def _filters(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    fields = dict.fromkeys(row["filter"].partition(":")[0] for row in rows if row["share"])
    for field in fields:
        ours = [row for row in rows if row["filter"].partition(":")[0] == field and row["callers"] == _CALLERS]
        ours = [row for row in ours if row["share"]]
        axes.plot([row["share"] for row in ours], [row["per_second"] for row in ours], "o-", label=field)


def _finish(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set(title=title, xlabel=across, ylabel=up)
    axes.set_xscale("log")
    axes.grid(alpha=0.3)
    axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend(fontsize="small")


if __name__ == "__main__":
    stored = Parameters().results
    draw(json.loads(stored.read_text()), stored.with_suffix(".png"))
