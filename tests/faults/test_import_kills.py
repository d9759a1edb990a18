"""`commontrace import` while its client, its server and its database are killed: all of the file, nothing twice."""

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from commontrace.domain.errors import DatabaseUnavailable
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from tests.conftest import query
from tests.faults.server_process import ServerProcess, environment
from tests.support.prepared_data import copy_served

LINES = 2_500
VICTIMS = {"client": 3, "backend": 2, "server": 1, "SIGTERM": 1}
_SECONDS = 240


class Importing:
    """The command as a process that is started again after it was killed."""

    def __init__(self, place: Path, file: Path, address: str) -> None:
        self._command = [sys.executable, "-m", "commontrace", "import", str(file)]
        self._environment = environment(place, COMMONTRACE_ADDRESS=address)
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def ended(self) -> tuple[int, str, str]:
        output, message = self._process.communicate(timeout=_SECONDS)
        return self._process.returncode, output, message


def write_lines(file: Path) -> None:
    with file.open("w") as lines:
        for number in range(LINES):
            trace = {
                "title": f"Line {number}",
                "context": f"Problem {number}: " + "x" * 1_500,
                "solution": f"Cure {number}: " + "y" * 1_500,
                "tags": ["imported", f"kind-{number % 7}"],
                # Nothing but the sequence keeps a line from being stored twice.
                "on_duplicate": "ON_DUPLICATE_ALLOW",
            }
            lines.write(json.dumps(trace) + "\n")


async def ask(server: ServerProcess, sql: str) -> list[Any]:
    """Asks beside the server, again while Postgres recovers."""
    url = embedded_postgres.attach(server.data_dir)
    assert url is not None
    until = time.monotonic() + 60
    while True:
        try:
            return await query(url, sql)
        except (OSError, DBAPIError, DatabaseUnavailable):
            assert time.monotonic() < until
            await asyncio.sleep(0.05)


async def until_stored(server: ServerProcess, count: int, importing: Importing) -> None:
    async with asyncio.timeout(_SECONDS):
        while (await ask(server, "SELECT count(*) FROM import_items"))[0][0] < count:
            assert not importing.is_over, importing.ended()
            await asyncio.sleep(0.01)


async def kill_a_backend(server: ServerProcess) -> None:
    """Kills what stores: Postgres then ends all others and recovers."""
    working = "SELECT pid FROM pg_stat_activity WHERE application_name = 'commontrace' AND state <> 'idle'"
    pids = await ask(server, working) or await ask(server, working.removesuffix(" AND state <> 'idle'"))
    os.kill(pids[0][0], signal.SIGKILL)


async def test_an_import_survives_kills_of_everything(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("KILLS_SEED") or time.time_ns() % 1_000_000)
    record_property("counted", f"KILLS_SEED={seed}")
    chance = random.Random(seed)  # noqa: S311 - when to kill is no secret
    victims = [victim for victim, times in VICTIMS.items() for _ in range(times)]
    chance.shuffle(victims)
    file = tmp_path / "traces.jsonl"
    write_lines(file)
    copy_served(tmp_path, EMBEDDER="lexical")
    servers = [ServerProcess(tmp_path, EMBEDDER="lexical").__enter__()]
    try:
        server = servers[0]
        importing = Importing(tmp_path, file, server.address)
        for position, victim in enumerate(victims):
            await until_stored(server, (position * LINES) // (len(victims) + 1) + chance.randint(1, 100), importing)
            await asyncio.sleep(chance.uniform(0, 0.05))
            if victim == "client":
                importing.kill()
                importing.start()
            elif victim == "backend":
                await kill_a_backend(server)
            else:
                if victim == "SIGTERM":
                    assert server.terminate() == 0
                else:
                    server.kill()
                server.__exit__(None, None, None)
                server = ServerProcess(tmp_path, EMBEDDER="lexical", LISTEN_ADDRESS=server.address)
                servers.append(server.__enter__())
        # Whatever happened since the last client was killed, it went on by itself.
        code, output, message = await asyncio.to_thread(importing.ended)
        assert code == 0
        # Beside it stand notes: how many wait for their vectors, and that deleted ones stay deleted.
        notes = ("what of an earlier run was deleted", "no search finds them yet")
        assert all(any(note in line for note in notes) for line in message.splitlines())
        counts_told = re.fullmatch(
            r"imported (\d+) traces \((\d+) in an earlier run, 0 were there already, 0 failed\)\n", output
        )
        assert counts_told
        assert sum(map(int, counts_told.groups())) == LINES
        [counts] = await ask(
            server,
            "SELECT count(*), count(DISTINCT title), (SELECT count(*) FROM import_items),"
            " (SELECT count(*) FROM trace_revisions JOIN traces ON traces.id = trace_id WHERE NOT is_seed),"
            " (SELECT count(*) FROM trace_tags JOIN traces ON traces.id = trace_id WHERE NOT is_seed) / 2"
            " FROM traces WHERE NOT is_seed",
        )
        assert tuple(counts) == (LINES,) * 5
    finally:
        for running in servers[-1:]:
            running.__exit__(None, None, None)
    record_property("counted", f"{', '.join(victims)}: {LINES} lines, none lost, none twice")
