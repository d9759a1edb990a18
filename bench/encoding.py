"""Encoding rate of the local model, and of searches by texts never asked before: `python -m bench.encoding`.

First in this process, through the memory of texts that a server has; then through a server over a few thousand traces.
`CPU ms` is processor time a text, or a search by all processes, which others on the machine hardly change.
"""

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import uvloop

from bench import closed_loop, corpora, corpus, grpc_driver, loading, narrowing
from bench.cpu import seconds_of
from bench.failures import RunFailed
from bench.orders import Task
from bench.parameters import CONNECTIONS
from bench.processes import driving, serving
from commontrace.domain.search.query import candidates_for
from commontrace.embeddings.local.model import LocalModel, find_model_directory
from commontrace.embeddings.query_cache import QueryCache
from commontrace.storage import migrations
from commontrace.storage.embedded_postgres import instance as embedded_postgres

CALLERS = (1, 16)
TRACES = 5_000


def short_question(number: int) -> str:
    """Returns a question of about ten tokens; another for each number."""
    return f"why does call {number} time out?"


def trace(number: int) -> str:
    """Returns a text longer than the model reads; another for each number."""
    return f"{number} " + " ".join(corpus.question(other) for other in range(number, number + 30))


TEXTS: dict[str, Callable[[int], str]] = {
    "short question": short_question,
    "question": corpus.question,
    "long trace": trace,
}


async def encodings(model: LocalModel, seconds: float) -> None:
    """Prints a row for each kind of text and number of callers."""
    print(f"{'text':16} {'tokens':>6} {'callers':>7} {'a second':>9} {'p50 ms':>7} {'p99 ms':>7} {'CPU ms':>7}")
    queries, numbers = QueryCache(model), itertools.count()
    for name, text in TEXTS.items():

        async def encode(number: int, text: Callable[[int], str] = text) -> None:
            await queries.encode(text(number))

        tokens = (await queries.encode(text(next(numbers)))).tokens_read
        for callers in CALLERS:
            await closed_loop.run(encode, numbers, callers=callers, seconds=seconds / 4)
            before = time.process_time()
            answers = await closed_loop.run(encode, numbers, callers=callers, seconds=seconds)
            print(f"{name:16} {tokens:6} {callers:7} {_numbers(answers, time.process_time() - before)}", flush=True)


async def searches(
    model: LocalModel, postgres: embedded_postgres.EmbeddedPostgres, place: Path, seconds: float
) -> None:
    """Prints a row for searches by new texts and, beside them, by vectors, for each number of callers."""
    print(
        f"\n{'search, ' + str(TRACES) + ' traces':23} {'callers':>7} {'a second':>9} {'p50 ms':>7} {'p99 ms':>7} CPU ms"
    )
    vectors = corpus.vectors(64, model.dimensions, seed=3)
    np.savez(place / "vectors.npz", embedding=vectors, text=vectors)
    settings = {"DATABASE_POOL_SIZE": str(CONNECTIONS), "EMBEDDER": "local"}
    async with corpora.database(postgres.url) as url:
        await migrations.upgrade(url, model)
        await loading.load(corpora.dsn_of(url), corpus.vectors(TRACES, model.dimensions, seed=2), model)
        async with serving(url, place / "server.log", settings) as server:
            task = Task(
                address=server.address,
                dsn=corpora.dsn_of(url),
                model_id=model.model_id,
                ef_search=candidates_for(10),
                vectors=str(place / "vectors.npz"),
                texts=1,
                traces=TRACES,
                matches=narrowing.matches(TRACES),
                exported=0,
            )
            async with driving(task, "bench.grpc_driver") as [driver]:
                processes = {"driver": driver.pid, "server": server.pid, "Postgres": postgres.pid}
                for search in (grpc_driver.EMBEDDING, grpc_driver.NEW_TEXT, grpc_driver.NEW_TEN_WORDS):
                    for callers in CALLERS:
                        await driver.run(search, callers=callers, seconds=seconds / 4)
                        before = seconds_of(processes)
                        answers = await driver.run(search, callers=callers, seconds=seconds)
                        used = {name: used - before[name] for name, used in seconds_of(processes).items()}
                        each = ", ".join(
                            f"{name} {1000 * spent / max(len(answers.milliseconds), 1):.2f}"
                            for name, spent in used.items()
                        )
                        print(f"{search:23} {callers:7} {_numbers(answers, sum(used.values()))} ({each})", flush=True)


def _numbers(answers: closed_loop.Answers, cpu_seconds: float) -> str:
    if answers.failures or not answers.milliseconds:
        raise RunFailed(f"{answers.failures} calls failed, the first with {answers.first_failure}")
    count = len(answers.milliseconds)
    p50, p99 = np.percentile(answers.milliseconds, [50, 99])
    return f"{count / answers.seconds:9.0f} {p50:7.1f} {p99:7.1f} {1000 * cpu_seconds / count:7.2f}"


def main() -> None:
    """Prints both tables, measuring for so many seconds a row."""
    parser = argparse.ArgumentParser(prog="python -m bench.encoding", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.5, help="how long each row is measured")
    seconds = parser.parse_args().seconds
    directory = find_model_directory()
    assert directory is not None, "the model package is not installed: run `make bench`"
    model = LocalModel.load(directory)
    uvloop.run(encodings(model, seconds))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        with embedded_postgres.start(place / "data") as postgres:
            asyncio.run(searches(model, postgres, place, seconds))


if __name__ == "__main__":
    main()
