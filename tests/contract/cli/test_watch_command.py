"""`commontrace watch`: events as text and JSON, resume tokens, interruption."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.contract.cli.command_line import TEXTS, Commands
from tests.faults.server_process import environment

SECONDS = 30.0


@contextmanager
def watching(commands: Commands, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Yields a running `commontrace watch` in a process group of its own."""
    settings = environment(commands.place, **commands.variables)
    command = [sys.executable, "-m", "commontrace", "watch", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=settings, process_group=0) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "watching; Ctrl-C ends it\n"
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def ended(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
    process.send_signal(number)
    output, message = process.communicate(timeout=SECONDS)
    return process.returncode, output, message


def test_what_happens_is_printed_at_once(commands: Commands) -> None:
    with watching(commands) as process:
        trace = commands.contributed(*TEXTS)
        assert re.fullmatch(
            rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC  created     {trace['id']}  A lamp flickers", line_of(process)
        )
        commands.output("delete", trace["id"])
        assert line_of(process).endswith(f"UTC  deleted     {trace['id']}")
        code, output, message = ended(process)
    assert (code, output) == (130, "")
    [token] = re.findall(r"^go on with: commontrace watch --since (\S+)\n$", message)
    commands.output("undelete", trace["id"])
    with watching(commands, "--since", token, "--json") as process:
        event = json.loads(line_of(process))
        assert (event["type"], event["trace_id"], event["revision"]) == (
            "TRACE_EVENT_TYPE_UNDELETED",
            trace["id"],
            1,
        )
        assert ended(process) == (130, "", f"go on with: commontrace watch --since {event['resume_token']}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_watch_that_is_terminated_says_how_to_go_on(commands: Commands, number: signal.Signals) -> None:
    with watching(commands) as process:
        code, output, message = ended(process, number)
    assert (code, output) == (-number, "")
    assert re.fullmatch(r"go on with: commontrace watch --since \S+\n", message)


def test_a_reader_that_leaves(commands: Commands) -> None:
    with watching(commands, "--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        commands.contributed("--title", "Another", *TEXTS[2:])
        assert process.wait(SECONDS) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_a_token_that_is_none(commands: Commands) -> None:
    code, output, message = commands.run("watch", "--since", "yesterday")
    assert (code, output) == (1, "")
    assert message.startswith("commontrace: INVALID_PAGE_TOKEN: resume_token is no token of this service")
    # Nothing to go on with.
    assert message.count("\n") == 1
