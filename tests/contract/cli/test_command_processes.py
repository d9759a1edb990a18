"""Commands run in the tests' process print the same as processes of their own, and leave no state behind."""

import json
import logging
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import structlog

from commontrace.cli.exit_codes import FAILED, NOT_FOUND, TRY_AGAIN, USAGE
from commontrace.cli.runtime.tls_options import tls_from_options
from tests.contract.cli.command_line import ABSENT, Commands
from tests.faults.server_process import environment, run_command
from tests.support.command_in_process import terminal

NOWHERE = "127.0.0.1:1"
NO_TRACES = "\n".join(("{", json.dumps({"title": "Größe\u2028\udcff"}), "\udcff", "x" * 100_000))


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["export", "--embeddings"], "", 0),
        (["import", "-", "--import-id", "0b2e4a4e-64a5-4f3e-b6a4-1f2f3f4f5f6f"], NO_TRACES, FAILED),
        (["search", "\udcff", "--as", "ä"], "", USAGE),
        # Without a word of gRPC's own.
        (["list", "--address", NOWHERE], "", TRY_AGAIN),
    ],
)
def test_a_process_says_the_same(commands: Commands, arguments: list[str], stdin: str, code: int) -> None:
    ended = run_command(commands.place, *arguments, stdin=stdin, **commands.variables)
    assert (ended.returncode, ended.stdout, ended.stderr) == commands.run(*arguments, stdin=stdin)
    assert ended.returncode == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["get", ABSENT], NOT_FOUND),
        (["get", ABSENT, "--json"], NOT_FOUND),
        (["contribute", "--title", "t", "--context", "@context", "--solution", "s"], 0),
        (["import", "-"], FAILED),
    ],
)
def test_what_is_said_to_nobody_changes_no_exit_code(commands: Commands, arguments: list[str], code: int) -> None:
    (commands.place / "context").write_text("c")
    reader, stderr = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "commontrace", *arguments],
        stderr=stderr,
        stdout=subprocess.PIPE,
        input=b"no trace\n",
        cwd=commands.place,
        env=environment(commands.place, **commands.variables),
        check=False,
    )
    os.close(stderr)
    assert ended.returncode == code
    assert (ended.stdout != b"") is (arguments[0] in {"contribute", "import"})


def test_a_process_shows_a_terminal_the_same(commands: Commands) -> None:
    arguments = ("search", "cache", "-n", "2")
    variables = environment(commands.place, **commands.variables, TERM="xterm-256color")
    with terminal() as (descriptor, shown):
        command = [sys.executable, "-m", "commontrace", *arguments]
        subprocess.run(command, stdin=descriptor, stdout=descriptor, stderr=descriptor, env=variables, check=True)
    assert "\x1b[" in shown.decode()
    assert shown.decode() == commands.on_terminal(*arguments)


@pytest.mark.parametrize("arguments", [["--tls", "--server-name", "x", "health"], ["keys", "list"], ["nonsense"]])
def test_a_command_in_this_process_leaves_nothing_behind(commands: Commands, arguments: list[str]) -> None:
    before = state()
    commands.run(*arguments)
    commands.on_terminal(*arguments)
    assert state() == before


def state() -> dict[str, Any]:
    root = logging.getLogger()
    return {
        "environment": dict(os.environ),
        "arguments": sys.argv,
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "signals": (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)),
        "logging": (root.handlers[:], root.level),
        "structlog": structlog.get_config(),
        "tls": tls_from_options(),
    }
