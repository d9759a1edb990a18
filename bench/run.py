"""`make bench`: searches through gRPC beside the same searches by raw asyncpg, in one run on one machine.

docs/performance.md tells what is measured and how to read it.
"""

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import asyncpg

from bench import bulk_loading, corpora, growing, machine, markdown, naming, plot, report, targets, watching, wording
from bench.failures import RunFailed
from bench.parameters import BadParameters, Parameters, read_parameters
from commontrace.client import CallFailed
from commontrace.storage.embedded_postgres import instance as embedded_postgres


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
            with embedded_postgres.start(place / "data") as postgres:
                failures = asyncio.run(_measured(parameters, postgres, place))
    except (RunFailed, CallFailed, asyncpg.PostgresError) as error:
        sys.exit(f"the run failed: {error}")
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("interrupted")
    if failures:
        sys.exit("the run failed: " + "; ".join(failures))


async def _measured(parameters: Parameters, postgres: embedded_postgres.EmbeddedPostgres, place: Path) -> list[str]:
    """Returns what failed."""
    this = asyncio.current_task()
    assert this is not None
    # Like Ctrl-C: what was started is stopped.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    results = report.conditions(await machine.describe(corpora.dsn_of(postgres.url)), parameters)
    _print(markdown.conditions(results))
    measured: list[corpora.Corpus] = []
    if "corpora" in parameters.sections:
        for plan in corpora.plans(parameters):
            measured.append(await corpora.measure(plan, parameters, postgres, place))
            await plan.embedder.close()
            _print(markdown.corpus(report.corpus_rows(measured[-1])))
    watched = await watching.measure(parameters, postgres, place) if "watching" in parameters.sections else None
    if watched:
        _print(markdown.watching(asdict(watched)))
    growth = await growing.measure(parameters, postgres, place) if "growth" in parameters.sections else None
    if growth:
        _print(markdown.growth(report.growth_rows(growth)))
    worded = await wording.measure(parameters, postgres, place) if "words" in parameters.sections else []
    if worded:
        _print(markdown.words(list(map(asdict, worded))))
    named = await naming.measure(parameters, postgres, place) if "tag_names" in parameters.sections else []
    if named:
        _print(markdown.tag_names(list(map(asdict, named))))
    loaded = await bulk_loading.measure(parameters, postgres, place) if "bulk" in parameters.sections else []
    if loaded:
        _print(markdown.bulk(list(map(asdict, loaded))))
    results |= {
        "corpora": list(map(report.corpus_rows, measured)),
        "watching": asdict(watched) if watched else None,
        "growth": report.growth_rows(growth) if growth else None,
        "words": list(map(asdict, worded)),
        "tag_names": list(map(asdict, named)),
        "bulk": list(map(asdict, loaded)),
        "targets": [asdict(one) for one in targets.targets(measured, growth, loaded)],
    }
    _print(markdown.targets(results["targets"]))
    parameters.results.write_text(json.dumps(results, indent=2) + "\n")
    picture = parameters.results.with_suffix(".png")
    plot.draw(results, picture)
    print(f"every number is in {parameters.results}, a picture in {picture}")
    rows = [row for corpus in measured for row in corpus.all_measured()]
    rows += growth.all_measured() if growth else []
    texts = [*worded, *named]
    by_name = [(one.name, one) for one in rows] + [(f"{one.question}, filter {one.filter}", one) for one in texts]
    return [
        f"{name} ({one.callers} callers): {one.failures} calls failed, the first with {one.first_failure}"
        for name, one in by_name
        if one.failures
    ]


def _print(lines: Iterable[str]) -> None:
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
