"""Round trip of texts: commands print them as they were contributed, to any output and encoding."""

import json
import subprocess
import sys
from uuid import uuid4

import pytest

from tests.contract.cli.command_line import TEXTS, Commands
from tests.faults.server_process import environment

PLAIN = "kubectl\u00a0get\u202f1\u3000\u65e5\u672c"
JOINED = "\U0001f469\u200d\U0001f4bb \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 co\u00adop \u0e01\u200b\u0e02"
MARKED = "\u200f\u05d0!\u200e a\ufeffb"
UNKNOWN_TO_PYTHON = "\U0001fae8 \ue0b0"
CODE = "all:\n\tmake  \n\n" + "x" * 100 + "   \n  indented"


def trace_of(commands: Commands, text: str) -> str:
    title = f"{text.splitlines()[0]} {uuid4()}"
    return str(commands.contributed(*TEXTS, "--title", title, "--solution", f"{text}|")["id"])


@pytest.mark.parametrize("text", [PLAIN, JOINED, MARKED, UNKNOWN_TO_PYTHON, CODE])
def test_a_pipe_gets_what_was_contributed(commands: Commands, text: str) -> None:
    trace_id = trace_of(commands, text)
    for command in (["get", trace_id], ["history", trace_id, "--full"]):
        assert f"\n{text}|\n" in commands.output(*command)
    assert json.loads(commands.output("get", trace_id, "--json"))["solution"] == f"{text}|"
    assert text.splitlines()[0] in commands.output("list", "-n", "1")


@pytest.mark.parametrize("text", [PLAIN, JOINED, MARKED, UNKNOWN_TO_PYTHON])
def test_a_terminal_shows_what_was_contributed(commands: Commands, text: str) -> None:
    trace_id = trace_of(commands, text)
    assert f"{text}|" in commands.on_terminal("get", trace_id, COLUMNS="120")
    assert text in commands.on_terminal("list", "-n", "1", COLUMNS="120")


@pytest.mark.parametrize("columns", ["0", "00", "", "-1", "wide"])
def test_a_width_that_is_none_is_the_usual_one(commands: Commands, columns: str) -> None:
    trace_id = trace_of(commands, PLAIN)
    usual, shown = (commands.on_terminal("list", "-n", "1", **given) for given in ({}, {"COLUMNS": columns}))
    assert shown == usual
    assert trace_id in shown


@pytest.mark.parametrize("columns", ["1000000", "9" * 20])
def test_a_width_that_no_terminal_has_is_the_usual_one(commands: Commands, columns: str) -> None:
    trace_id = trace_of(commands, PLAIN)
    lines = commands.on_terminal("get", trace_id, COLUMNS=columns).splitlines()
    assert max(map(len, lines)) < 1000


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1:strict", "utf-8"])
def test_an_encoding_that_lacks_characters_loses_no_answer(commands: Commands, encoding: str) -> None:
    trace_id = trace_of(commands, JOINED + PLAIN)
    variables = environment(commands.place, **commands.variables, PYTHONIOENCODING=encoding)

    def output(*arguments: str) -> str:
        command = [sys.executable, "-m", "commontrace", *arguments]
        ended = subprocess.run(command, env=variables, capture_output=True, check=True)
        assert ended.stderr == b""
        return ended.stdout.decode(encoding.partition(":")[0])

    assert json.loads(output("get", trace_id, "--json"))["solution"] == f"{JOINED}{PLAIN}|"
    assert "kubectl" in output("get", trace_id)
    assert trace_id in output("list", "-n", "1")
