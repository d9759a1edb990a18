"""A real PgBouncer before the database: commands say in one line to connect directly."""

import asyncio
import json
import shutil
import socket
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from commontrace.storage import engines
from commontrace.storage.connections import PINNED_SETTINGS
from commontrace.storage.postgres_url import parse_postgres_url
from tests.faults.harness.proxy import proxy_before
from tests.faults.server_process import run_command
from tests.integration.storage.postgres_owners import IS_ROOT, NOBODY, socket_dir
from tests.support.command_in_process import run_in_process

pytestmark = pytest.mark.slow

COMMANDS = ("migrate", "worker --once", "reembed", "bulk-import /dev/null", "recount", "keys list")
DIRECTLY = "connect to Postgres directly, not through a pooler such as PgBouncer"
IGNORED = sorted((PINNED_SETTINGS | engines.SESSION_SETTINGS | engines.SEARCH_SETTINGS).keys() - {"application_name"})
PORT, SECONDS = 6432, 10.0

CONFIGURATION = """
[databases]
* = host={host} port={port} user=postgres
[pgbouncer]
listen_port = {own_port}
unix_socket_dir = {place}
auth_type = any
auth_file = {place}/users
pool_mode = {mode}
ignore_startup_parameters = {ignored}
"""


@asynccontextmanager
async def pooled(database_url: str, mode: str, *, ignored: str) -> AsyncIterator[str]:
    """Yields the URL of the same database through PgBouncer."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    assert program, "pgbouncer is not installed: `apt-get install pgbouncer` does it, as .ci/run does"
    with tempfile.TemporaryDirectory(prefix="commontrace-pooler-") as directory:
        place = Path(directory)
        async with proxy_before(socket_dir(database_url) / ".s.PGSQL.5432") as proxy:
            _configure(place, behind=proxy.address, mode=mode, ignored=ignored)
            identity: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if IS_ROOT else {}
            running = await asyncio.create_subprocess_exec(
                program, place / "pgbouncer.ini", stdout=DEVNULL, stderr=DEVNULL, **identity
            )
            try:
                await _until_it_listens(place / f".s.PGSQL.{PORT}")
                name = parse_postgres_url(database_url).database
                yield f"postgresql://postgres@/{name}?host={place}&port={PORT}"
            finally:
                running.terminate()
                await asyncio.wait_for(running.wait(), SECONDS)


def _configure(place: Path, *, behind: str, mode: str, ignored: str) -> None:
    host, _, port = behind.partition(":")
    (place / "users").touch()
    (place / "pgbouncer.ini").write_text(
        CONFIGURATION.format(host=host, port=port, own_port=PORT, place=place, mode=mode, ignored=ignored)
    )
    # PgBouncer does not run as root.
    place.chmod(0o777)


async def _until_it_listens(path: Path) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(path))
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
@pytest.mark.parametrize("ignored", [(), IGNORED], ids=["refuses settings", "ignores settings"])
async def test_a_pooler_is_refused_in_one_line(
    database_url: str, tmp_path: Path, mode: str, ignored: Sequence[str]
) -> None:
    def check(url: str) -> None:
        # The second time, a pooled connection has the statements that the first client prepared.
        runs = [partial(run_in_process, tmp_path, *command.split()) for command in COMMANDS]
        # The command handles signals, which the main thread alone can.
        for run in (*runs, partial(run_command, tmp_path, "serve")):
            ended = run(DATABASE_URL=url)
            assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1), ended
            assert DIRECTLY in ended.stderr
        ended = run_in_process(tmp_path, "doctor", "--json", "--address", "127.0.0.1:1", DATABASE_URL=url)
        found = [json.loads(line) for line in ended.stdout.splitlines()]
        assert [finding["advice"] for finding in found if finding["check"] == "database"] == [DIRECTLY]

    async with pooled(database_url, mode, ignored=",".join(ignored)) as url:
        await asyncio.to_thread(check, url)
