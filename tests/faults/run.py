"""`make faults`: runs the scenarios, prints a line a figure and writes `faults.json`."""

import argparse
import asyncio
import json
import random
import tempfile
from pathlib import Path

from commontrace.cli.environment import configure_logging
from tests.faults.rig.figure import Figure, Trial
from tests.faults.scenarios import SCENARIOS

_RESULTS = Path("faults.json")


def main() -> None:
    """Ends with 1 if a figure misses its target."""
    options = _options()
    configure_logging("error")
    results: list[dict[str, object]] = []
    for name in options.only or SCENARIOS:
        for figure in _measured(name, seed=options.seed, scale=options.scale):
            command = f'make faults ARGS="--only {name} --seed {options.seed}"'
            print(
                f"{'ok  ' if figure.ok else 'MISS'}  {figure.name}: {figure.measured} (target {figure.target})",
                flush=True,
            )
            results.append(
                {
                    "name": figure.name,
                    "target": figure.target,
                    "measured": figure.measured,
                    "ok": figure.ok,
                    "seed": options.seed,
                    "command": command,
                }
            )
            _RESULTS.write_text(json.dumps({"figures": results}, indent=2) + "\n")
    raise SystemExit(0 if all(result["ok"] for result in results) else 1)


def _measured(name: str, *, seed: int, scale: float) -> list[Figure]:
    with tempfile.TemporaryDirectory() as place:
        return asyncio.run(SCENARIOS[name](Trial(seed=seed, place=Path(place), scale=scale)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults ARGS=...", description=__doc__)
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="run this scenario; may be repeated")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="repeats a run")  # noqa: S311
    parser.add_argument("--scale", type=float, default=1.0, help="how much of each scenario, 1 is all")
    return parser.parse_args()


if __name__ == "__main__":
    main()
