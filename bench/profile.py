"""Profile of a search's processor time in the server: `make profile`.

A corpus of `BENCH_TRACES` and 16 callers: first undisturbed, which gives the microseconds of each thread, then under
py-spy, which gives the shares of the one that runs the event loop. py-spy looks into a process that it has not started,
which Linux allows root alone unless `kernel.yama.ptrace_scope` is 0.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import numpy as np

from bench import corpora, corpus, cpu, grpc_driver, loading, narrowing, samples
from bench.failures import RunFailed
from bench.markdown import table
from bench.orders import Task
from bench.parameters import LIMIT, BadParameters, Parameters, read_parameters
from bench.processes import Driver, driving, serving
from commontrace.client import CallFailed
from commontrace.domain.search.query import candidates_for
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.embedded_postgres import instance as embedded_postgres

_CALLERS = 16
_RATE = 100
_SECONDS = 10
# Enough for py-spy to start, whose own time limit counts from then on.
_MARGIN_SECONDS = 5
_QUERIES = 256


def main() -> None:
    """Prints both tables; ends with 1 if something failed, with 2 if it cannot begin."""
    try:
        parameters = read_parameters()
    except BadParameters as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            place = Path(directory)
            with embedded_postgres.start(place / "data") as postgres:
                lines = asyncio.run(_profiled(parameters, postgres, place))
    except (RunFailed, CallFailed, asyncpg.PostgresError) as error:
        sys.exit(f"the run failed: {error}")
    print("\n".join(lines))


async def _profiled(parameters: Parameters, postgres: embedded_postgres.EmbeddedPostgres, place: Path) -> list[str]:
    embedder = LexicalEmbedder(parameters.dimensions)
    queries = corpus.vectors(_QUERIES, embedder.dimensions, seed=3)
    vectors = place / "vectors.npz"
    np.savez(vectors, embedding=queries, text=queries)
    settings = corpora.server_settings(corpora.lexical(parameters.dimensions))
    async with corpora.database(postgres.url) as url:
        await migrations.upgrade(url, embedder)
        await loading.load(
            corpora.dsn_of(url), corpus.vectors(parameters.traces, embedder.dimensions, seed=2), embedder
        )
        async with serving(url, place / "server.log", settings) as server:
            task = Task(
                address=server.address,
                dsn=corpora.dsn_of(url),
                model_id=embedder.model_id,
                ef_search=candidates_for(LIMIT),
                vectors=str(vectors),
                texts=0,
                matches=narrowing.matches(parameters.traces),
                traces=parameters.traces,
                exported=0,
            )
            async with driving(task, "bench.grpc_driver") as [driver]:
                by_thread = await _undisturbed(driver, server.pid, parameters)
                stacks = await _sampled(driver, server.pid, place / "stacks")
    return [*_lines(parameters, by_thread, stacks)]


async def _undisturbed(driver: Driver, server_pid: int, parameters: Parameters) -> dict[str, float]:
    """Returns the milliseconds of processor time a search that each of the server's threads took."""
    await driver.run(grpc_driver.EMBEDDING, callers=_CALLERS, seconds=parameters.warm_up_seconds)
    before = cpu.seconds_by_thread(server_pid)
    answers = await driver.run(grpc_driver.EMBEDDING, callers=_CALLERS, seconds=parameters.seconds * parameters.rounds)
    after = cpu.seconds_by_thread(server_pid)
    if answers.failures:
        raise RunFailed(f"{answers.failures} calls failed, the first with {answers.first_failure}")
    return {name: 1000 * (seconds - before.get(name, 0)) / len(answers.milliseconds) for name, seconds in after.items()}


async def _sampled(driver: Driver, server_pid: int, stacks: Path) -> list[samples.Stack]:
    command = ("--native", "--threads", "--full-filenames", "--format", "raw", "--rate", str(_RATE))
    spy = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("py-spy")),
        *("record", "--pid", str(server_pid), "--duration", str(_SECONDS), "--output", str(stacks), *command),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    _, (_, complaints) = await asyncio.gather(
        driver.run(grpc_driver.EMBEDDING, callers=_CALLERS, seconds=_SECONDS + _MARGIN_SECONDS), spy.communicate()
    )
    if spy.returncode:
        raise RunFailed(f"py-spy cannot look into the server: {complaints.decode().strip()}")
    return samples.read(await asyncio.to_thread(stacks.read_text))


def _lines(parameters: Parameters, by_thread: dict[str, float], stacks: list[samples.Stack]) -> Iterator[str]:
    yield f"\n{parameters.traces:,} traces of {parameters.dimensions} dimensions, {_CALLERS} callers, full view\n"
    yield from table(
        ("thread", "CPU µs a search"),
        [
            *((name, f"{1000 * spent:.0f}") for name, spent in by_thread.items()),
            ("all", f"{1000 * sum(by_thread.values()):.0f}"),
        ],
    )
    count = sum(stack.count for stack in stacks)
    loop = 1000 * by_thread[cpu.MAIN]
    own, inclusive = samples.shares(stacks), samples.inclusive_shares(stacks)
    yield from table(
        (f"event loop, {count} samples", "share", "µs a search", "with what it calls, µs"),
        [
            (group, f"{share:.1%}", f"{share * loop:.0f}", f"{inclusive[group] * loop:.0f}")
            for group, share in own.items()
        ],
    )


if __name__ == "__main__":
    main()
