"""`make faults`: runs the scenarios, prints a line a figure and writes `faults.json`."""

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from commontrace.cli.runtime.environment import configure_logging
from commontrace.serving import process_limits
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.journal import FILE
from tests.faults.harness.service import LOG
from tests.faults.scenario_table import SCENARIOS, Scenario

_RESULTS = Path("faults.json")


def main() -> None:
    """Ends with 1 if a figure misses its target, with 130 if it was interrupted; what was measured stays."""
    # Whatever ends it, what was started ends too; a shell may have it begin with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    options = _options()
    configure_logging("error")
    results: list[dict[str, object]] = []
    try:
        for name in options.only or SCENARIOS:
            results += _told(name, options)
            _RESULTS.write_text(json.dumps({"figures": results}, indent=2) + "\n")
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(0 if all(result["ok"] for result in results) else 1)


async def measured(name: str, scenario: Scenario, trial: Trial) -> list[Figure]:
    """Runs a scenario; one that raises is a figure that misses, with the reason."""
    try:
        return await scenario(trial)
    except Exception as error:  # noqa: BLE001 - the others still run
        traceback.print_exception(error)
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        return [Figure(name=name, target="runs to its end", measured=_reason(error), ok=False)]


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _told(name: str, options: argparse.Namespace) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as place:
        trial = Trial(seed=options.seed, place=Path(place), scale=options.scale, cgroup=options.cgroup)
        process_limits.freeze_heap()  # or collections here are measured as the server's time
        figures = asyncio.run(measured(name, SCENARIOS[name], trial))
        if not all(figure.ok for figure in figures):
            for kept in (trial.place / FILE, trial.place / LOG):
                if kept.exists():
                    shutil.copy(kept, f"faults-{name}-{kept.name}")
    return [_result(name, figure, options) for figure in figures]


def _result(name: str, figure: Figure, options: argparse.Namespace) -> dict[str, Any]:
    verdict = "ok  " if figure.ok else "MISS"
    print(f"{verdict}  {figure.name}: {figure.measured} (target {figure.target})", flush=True)
    scale = "" if options.scale == 1 else f" --scale {options.scale:g}"
    cgroup = "" if options.cgroup is None else f" --cgroup {options.cgroup}"
    return {
        "name": figure.name,
        "target": figure.target,
        "measured": figure.measured,
        "ok": figure.ok,
        "seed": options.seed,
        "command": f'make faults ARGS="--only {name} --seed {options.seed}{scale}{cgroup}"',
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults ARGS=...", description=__doc__)
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="run this scenario; may be repeated")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="repeats a run")  # noqa: S311
    parser.add_argument("--scale", type=float, default=1.0, help="how much of each scenario, 1 is all")
    parser.add_argument("--cgroup", type=Path, help="runs servers in this control group, such as one of 1 GB")
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)
    return options


if __name__ == "__main__":
    main()
