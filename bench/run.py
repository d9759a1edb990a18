"""`make bench`: searches through gRPC beside the same searches by raw asyncpg, in one run on one machine.

docs/performance.md tells what is measured and how to read it.
"""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

import asyncpg

from bench import corpora, growing, machine, report, targets, watching
from bench.failures import RunFailed
from bench.parameters import BadParameters, Parameters, read_parameters
from commontrace.client import CallFailed
from commontrace.storage import embedded


def main() -> None:
    """Measures, prints the tables, stores the numbers; ends with 1 if a call failed, with 2 if it cannot begin."""
    try:
        parameters = read_parameters()
    except BadParameters as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            place = Path(directory)
            with embedded.start(place / "data") as postgres:
                failures = asyncio.run(_measured(parameters, postgres, place))
    except (RunFailed, CallFailed, asyncpg.PostgresError) as error:
        sys.exit(f"the run failed: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("interrupted")
    if failures:
        sys.exit("the run failed: " + "; ".join(failures))


async def _measured(parameters: Parameters, postgres: embedded.EmbeddedPostgres, place: Path) -> list[str]:
    """Returns what failed."""
    this = asyncio.current_task()
    assert this is not None
    # Like Ctrl-C: what was started is stopped.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    where = await machine.describe(corpora.dsn_of(postgres.url))
    print(report.heading(where, parameters), flush=True)
    measured: list[corpora.Corpus] = []
    if "corpora" in parameters.sections:
        for plan in corpora.plans(parameters):
            measured.append(await corpora.measure(plan, parameters, postgres, place))
            await plan.embedder.close()
            print(report.tables(measured[-1]), flush=True)
    watched = await watching.measure(parameters, postgres, place) if "watching" in parameters.sections else None
    if watched:
        print(report.watched(watched), flush=True)
    growth = await growing.measure(parameters, postgres, place) if "growth" in parameters.sections else None
    if growth:
        print(report.grown(growth), flush=True)
    reached = targets.targets(measured, growth)
    print("\n".join(targets.lines(reached)), flush=True)
    parameters.results.write_text(report.as_json(where, parameters, measured, watched, growth, reached))
    print(f"every number is in {parameters.results}")
    rows = [row for corpus in measured for row in corpus.all_measured()]
    rows += growth.all_measured() if growth else []
    return [
        f"{one.name} ({one.callers} callers): {one.failures} calls failed, the first with {one.first_failure}"
        for one in rows
        if one.failures
    ]


if __name__ == "__main__":
    main()
