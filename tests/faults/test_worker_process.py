"""`commontrace worker` as processes of their own: beside others, killed, stopped, refused."""

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commontrace.serving import bootstrap
from commontrace.serving.bootstrap import Postgres
from tests.conftest import administer, query, server_settings
from tests.faults.server_process import environment, run_command
from tests.support.embedding_server import KEY, MODEL, EmbeddingServer, failing, late, well

TRACES = 300
WORKERS = 2
_USER = "INSERT INTO users (id, email) VALUES ('123e4567-e89b-12d3-a456-426614174000', 'ada@example.org')"
_ADD = """
    INSERT INTO traces (id, title, context_text, solution_text, contributor_id)
    SELECT gen_random_uuid(), 'Trace number ' || number, 'c', 's', (SELECT id FROM users)
    FROM generate_series(1, {count}) AS number"""
_QUEUE = "INSERT INTO encoding_jobs (trace_id) SELECT id FROM traces"
_LEFT = "SELECT (SELECT count(*) FROM encoding_jobs), (SELECT count(*) FROM traces WHERE embedding IS NULL)"

# The migration and the worker's start each ask how long vectors are.
_BUSY = 3

# Claims are tried on every Postgres in tests/integration.
pytestmark = pytest.mark.parametrize("postgres_version", ["18"], indirect=True)


@pytest.fixture
def endpoint() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as server:
        yield server


@pytest.fixture
async def settings(empty_database_url: str, endpoint: EmbeddingServer) -> dict[str, str]:
    """The environment of a worker on a migrated database of the endpoint's model."""
    hosted = {
        "EMBEDDER": "openai",
        "EMBEDDING_BASE_URL": endpoint.url,
        "EMBEDDING_API_KEY": KEY,
        "EMBEDDING_MODEL": MODEL,
    }
    where = Postgres(url=empty_database_url, is_embedded=False)
    await bootstrap.migrate(where, server_settings(**{name.lower(): value for name, value in hosted.items()}))
    await administer(empty_database_url, _USER)
    return hosted | {"DATABASE_URL": empty_database_url}


async def queue(url: str, count: int) -> None:
    await administer(url, _ADD.format(count=count))
    await administer(url, _QUEUE)


def start(place: Path, *arguments: str, **settings: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "commontrace", "worker", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(place, **settings),
        process_group=0,
    )


def asked_for(endpoint: EmbeddingServer) -> Counter[str]:
    texts = (text for request in endpoint.requests for text in request.body["input"])
    return Counter(text.partition("\n")[0] for text in texts if text.startswith("Trace"))


async def test_two_workers_share_the_queue(tmp_path: Path, settings: dict[str, str], endpoint: EmbeddingServer) -> None:
    url = settings["DATABASE_URL"]
    await queue(url, TRACES)
    workers = [start(tmp_path, "--once", **settings) for _ in range(WORKERS)]
    ended = await asyncio.gather(*(asyncio.to_thread(worker.communicate, timeout=60) for worker in workers))
    assert [worker.returncode for worker in workers] == [0] * WORKERS, ended
    encoded = [int(output.split()[1]) for output, _ in ended]
    assert (sum(encoded), min(encoded) > 0) == (TRACES, True)
    assert [tuple(row) for row in await query(url, _LEFT)] == [(0, 0)]
    # None was even encoded twice.
    assert asked_for(endpoint) == {f"Trace number {number}": 1 for number in range(1, TRACES + 1)}


async def test_what_a_killed_worker_had_is_encoded_by_another(
    tmp_path: Path, settings: dict[str, str], endpoint: EmbeddingServer
) -> None:
    url = settings["DATABASE_URL"]
    await queue(url, 10)
    endpoint.next_answers.extend([well, late(30)])
    with start(tmp_path, **settings) as worker:
        assert worker.stdout is not None
        await wait_for_requests(endpoint, _BUSY)
        worker.kill()
    claimed = "SELECT count(*) FROM encoding_jobs WHERE attempts = 1 AND due_at > now()"
    [[taken]] = await query(url, claimed)
    assert taken == 8
    beside = await asyncio.to_thread(run_command, tmp_path, "worker", "--once", **settings)
    assert beside.stdout == "encoded 2 traces; 8 wait: other workers have them, or they are tried again later\n"
    await administer(url, "UPDATE encoding_jobs SET due_at = due_at - interval '60 seconds'")
    after = await asyncio.to_thread(run_command, tmp_path, "worker", "--once", **settings)
    assert (after.returncode, after.stdout) == (0, "encoded 8 traces\n")
    assert [tuple(row) for row in await query(url, _LEFT)] == [(0, 0)]


async def wait_for_requests(endpoint: EmbeddingServer, count: int) -> None:
    async with asyncio.timeout(60):
        while len(endpoint.requests) < count:  # noqa: ASYNC110 - it is served by threads
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_stopped_worker_gives_back_what_it_had(
    tmp_path: Path, settings: dict[str, str], endpoint: EmbeddingServer, number: signal.Signals
) -> None:
    url = settings["DATABASE_URL"]
    await queue(url, 3)
    endpoint.next_answers.extend([well, late(30)])
    with start(tmp_path, **settings) as worker:
        await wait_for_requests(endpoint, _BUSY)
        began = time.monotonic()
        worker.send_signal(number)
        output, message = await asyncio.to_thread(worker.communicate, timeout=20)
    assert time.monotonic() - began < 10
    assert (worker.returncode, output) == (0, f"commontrace worker ready, encoding with {MODEL}\n")
    assert message.splitlines()[-1] == "commontrace worker is stopping"
    jobs = await query(url, "SELECT attempts, due_at <= now() FROM encoding_jobs")
    assert {tuple(job) for job in jobs} == {(0, True)}


async def test_retry_queues_what_was_given_up_and_what_was_lost(
    tmp_path: Path, settings: dict[str, str], endpoint: EmbeddingServer
) -> None:
    url = settings["DATABASE_URL"]
    await queue(url, 3)
    await administer(url, "UPDATE encoding_jobs SET given_up_at = now(), last_error = 'too long', attempts = 20")
    await administer(url, _ADD.format(count=2))
    idle = await asyncio.to_thread(run_command, tmp_path, "worker", "--once", **settings)
    assert (idle.returncode, idle.stdout) == (0, "encoded 0 traces\n")
    endpoint.next_answers.append(well)
    endpoint.answering = failing(429, Retry_After="42")
    away = await asyncio.to_thread(run_command, tmp_path, "worker", "--once", "--retry", **settings)
    assert (away.returncode, away.stdout) == (1, "")
    assert "queued again: 5 traces" in away.stderr
    assert away.stderr.splitlines()[-1] == "commontrace: the embedding endpoint answers 429"
    endpoint.answering = well
    done = await asyncio.to_thread(run_command, tmp_path, "worker", "--once", **settings)
    assert (done.returncode, done.stdout, done.stderr.count("Traceback")) == (0, "encoded 5 traces\n", 0)


def test_it_refuses_what_a_server_refuses(tmp_path: Path, settings: dict[str, str], empty_database_url: str) -> None:
    def refusal(**changes: Any) -> str:
        ended = run_command(tmp_path, "worker", "--once", **settings | changes)
        assert (ended.returncode, ended.stdout) == (1, "")
        return ended.stderr.splitlines()[-1]

    assert "the database's vectors come from" in refusal(EMBEDDER="lexical")
    asyncio.run(administer(empty_database_url, "UPDATE alembic_version SET version_num = '0007_create_tag_aliases'"))
    assert "run `commontrace migrate`" in refusal()
