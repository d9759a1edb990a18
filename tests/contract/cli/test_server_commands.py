"""Commands about a server (health, info), maintenance beside it, and exit codes of failed calls."""

import asyncio
import json
import re
import socket
import time
from pathlib import Path

import pytest

from commontrace import __version__
from commontrace.cli.exit_codes import CONFLICT, FAILED, NOT_FOUND, TRY_AGAIN, USAGE
from commontrace.domain.scopes import Scope
from tests.conftest import ServerFactory
from tests.contract.cli.command_line import ABSENT, TEXTS, Commands
from tests.contract.serving.server_states import STATES
from tests.faults.server_process import run_command
from tests.support.command_in_process import run_in_process


def test_health_is_one_word(commands: Commands) -> None:
    assert commands.output("health") == "SERVING\n"
    assert commands.output("health", "VoteService") == "SERVING\n"
    assert commands.output("health", "commontrace.v1.TagService") == "SERVING\n"
    assert commands.run("health", "Nonsense") == (NOT_FOUND, "SERVICE_UNKNOWN\n", "")
    told = json.loads(commands.output("health", "--json"))
    assert told["status"] == "SERVING"
    assert len(told["services"]) == 4
    assert "must be UTF-8" in commands.refusal("health", "\udcff")


def test_health_of_a_server_that_does_not_answer(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        assert commands.run("health", "--address", address) == (TRY_AGAIN, "UNREACHABLE\n", "")
        assert time.monotonic() - began < 20
    assert commands.run("health", "--address", address) == (TRY_AGAIN, "UNREACHABLE\n", "")


def test_info_describes_the_server(commands: Commands) -> None:
    told = dict(re.split(" {2,}", line) for line in commands.output("info", "--as", "eve@example.org").splitlines())
    assert told["server"] == f"CommonTrace {__version__} at {commands.server.address}"
    assert told["model"] == "all-MiniLM-L6-v2 (384 dimensions, searches by meaning)"
    assert told["you are"] == "eve@example.org, who has not written anything yet"
    assert set(told["you may"].split(", ")) == set(Scope)
    assert "bound to" not in told
    assert told["title characters"] == "200"
    assert json.loads(commands.output("info", "--json"))["embedding_model"]["dimensions"] == 384


def test_exit_codes_tell_failures_apart(commands: Commands, tmp_path: Path) -> None:
    trace = commands.contributed(*TEXTS, "--as", "ada@example.org")["id"]
    (tmp_path / "long").write_text("x" * (1 << 20))
    expected = {
        ("search", " "): FAILED,
        ("contribute", *TEXTS, "--context", f"@{tmp_path}/long"): FAILED,
        ("search",): USAGE,
        ("get", ABSENT): NOT_FOUND,
        ("vote", trace, "retract"): NOT_FOUND,
        ("vote", trace, "up", "--as", "ada@example.org"): CONFLICT,
        ("vote", trace, "up", "--revision", "7"): CONFLICT,
        ("delete", trace): CONFLICT,
        ("delete", trace, "--etag", "stale", "--as", "ada@example.org"): CONFLICT,
        ("contribute", *TEXTS, "--on-duplicate", "reject"): CONFLICT,
    }
    assert {arguments: commands.run(*arguments)[0] for arguments in expected} == expected


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("nobody listens", "DATABASE_UNAVAILABLE: the database cannot be reached: try again in 0.5 s"),
        ("pool held", "OVERLOADED: every database connection is busy: try again in 0.2 s"),
    ],
)
async def test_who_should_try_again_is_told_when(
    start_server: ServerFactory, database_url: str, tmp_path: Path, state: str, said: str
) -> None:
    async with STATES[state](start_server, database_url) as running:
        ended = await asyncio.to_thread(run_command, tmp_path, "get", ABSENT, "--address", running.address)
        assert (ended.returncode, ended.stdout, ended.stderr) == (TRY_AGAIN, "", f"commontrace: {said}\n")
        if state == "nobody listens":
            ended = await asyncio.to_thread(run_command, tmp_path, "health", "--address", running.address)
            assert (ended.returncode, ended.stdout) == (TRY_AGAIN, "NOT_SERVING\n")


@pytest.mark.parametrize(
    ("command", "shown", "said"),
    [
        ("migrate", "migrating", "already at "),
        ("seed", "loading samples", "Already seeded"),
        ("recount", "counting votes", "recounted "),
    ],
)
def test_long_work_shows_its_progress_to_a_terminal_alone(
    commands: Commands, command: str, shown: str, said: str
) -> None:
    # `seed` warns of the tests' Postgres, which does without fsync.
    ended = run_in_process(commands.place, command, **commands.variables, LOG_LEVEL="error")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(said)
    terminal = commands.on_terminal(command)
    assert shown in terminal
    assert said in terminal
    assert shown not in commands.on_terminal(command, TERM="dumb")
    if command == "recount":
        assert re.search(r"(\d+) of \1\b", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal))
