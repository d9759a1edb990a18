"""The commands as a user types them: results on standard output, everything else on standard error."""

import asyncio
import json
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from commontrace.storage import embedded, engines
from tests.faults.server_process import ServerProcess, environment, run_command

TEXTS = ("--title", "A lamp flickers", "--context", "It **does**.\nOften.", "--solution", "Change `bulb`.")
STYLES = re.compile(r"\x1b\[[0-9;]*m")
ABSENT = "123e4567-e89b-12d3-a456-426614174000"


class Commands:
    """Runs commands against one server."""

    def __init__(self, server: ServerProcess, place: Path) -> None:
        self.server = server
        self.place = place

    def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Returns exit code, standard output and standard error, which never holds a traceback."""
        ended = run_command(self.place, *arguments, stdin=stdin, COMMONTRACE_ADDRESS=self.server.address)
        assert "Traceback" not in ended.stderr
        return ended.returncode, ended.stdout, ended.stderr

    def output(self, *arguments: str, stdin: str = "") -> str:
        """What a command that works has to say."""
        code, output, message = self.run(*arguments, stdin=stdin)
        assert (code, message) == (0, "")
        return output

    def refusal(self, *arguments: str, stdin: str = "") -> str:
        """What a command that does not work has to say, less the line breaks and the usage."""
        code, output, message = self.run(*arguments, stdin=stdin)
        usage, _, said = message.rpartition("\n\n")
        assert (code, output) == (2 if usage.startswith("Usage: ") else 1, "")
        assert said.startswith("Error: " if usage else "commontrace: ")
        return " ".join(said.split())

    def contributed(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        trace = json.loads(self.output("contribute", "--json", *arguments, stdin=stdin))
        assert isinstance(trace, dict)
        return trace

    def on_terminal(self, *arguments: str) -> str:
        """What a terminal gets to see."""
        master, terminal = pty.openpty()
        command = [sys.executable, "-m", "commontrace", *arguments]
        settings = environment(self.place, COMMONTRACE_ADDRESS=self.server.address, TERM="xterm-256color")
        with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=settings):
            os.close(terminal)
            output = b""
            try:
                while chunk := os.read(master, 65536):
                    output += chunk
            except OSError:  # how Linux says that nobody has the terminal open any more
                pass
            finally:
                os.close(master)
        return output.decode()


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    place = tmp_path_factory.mktemp("commands")
    with ServerProcess(place) as server:
        yield Commands(server, place)


def test_search_prints_a_short_list(commands: Commands) -> None:
    lines = commands.output("search", "every expiry floods the database", "-n", "2").splitlines()
    assert len(lines) == 6
    assert re.fullmatch(r" 0\.\d{3}  Redis cache .*", lines[0])
    assert re.fullmatch(r" {8}validated  #async #caching .*", lines[1])
    assert UUID(lines[2].strip())
    assert len(commands.output("search", "database").splitlines()) == 5 * 3


def test_search_as_json_is_one_object_a_line(commands: Commands) -> None:
    hits = [json.loads(line) for line in commands.output("search", "cache", "--json", "--limit", "4").splitlines()]
    similarities = [hit["similarity"] for hit in hits]
    assert len(hits) == 4
    assert similarities == sorted(similarities, reverse=True)
    assert all({"id", "title", "context", "solution", "tags", "status"} <= hit.keys() for hit in hits)


def test_search_like_a_trace_leaves_it_out(commands: Commands) -> None:
    found = json.loads(commands.output("search", "cache", "--json", "-n", "1"))
    others = commands.output("search", "--like", found["id"], "--json", "-n", "1000").splitlines()
    assert len(others) >= 11
    assert found["id"] not in {json.loads(line)["id"] for line in others}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", " \t "], "FIELD_REQUIRED: text is required"),
        (["search", ""], "give either a text or --like ID"),
        (["search", "x", "--like", ABSENT], "give either a text or --like ID"),
        (["search", "--like", "nonsense"], "'nonsense' is not the id of a trace"),
        (["search", "--like", ABSENT], f"TRACE_NOT_FOUND: no trace has the id {ABSENT}"),
        (["search", "x", "-n", "0"], "'--limit' / '-n'"),
        (["search", "x", "-n", "1001"], "'--limit' / '-n'"),
        (["search", "x", "-n", "99999999999"], "'--limit' / '-n'"),
        (["search", "x" * 8001], "FIELD_TOO_LONG: text has 8001 characters; at most 8000 are allowed"),
        (["search", "\udcff"], "must be UTF-8"),
        (["get", "nonsense"], "MALFORMED_ID: trace_id is not a UUID"),
        (["get", ABSENT], f"TRACE_NOT_FOUND: no trace has the id {ABSENT}"),
        (["get", "\udcff"], "must be UTF-8"),
        (["contribute"], "title is required (and 2 more) context is required solution is required"),
        (["contribute", *TEXTS, "--title", "\x1b[31m"], "title has the forbidden character U+001B at position 0"),
        (["contribute", *TEXTS, "--tag", "ok", "--tag", "b@d"], "tags[1] 'b@d' has the character U+0040"),
        (["contribute", *TEXTS, "--context", "@/absent"], "/absent cannot be read: No such file"),
        (["contribute", "/absent"], "/absent cannot be read: No such file"),
        (["contribute", "/"], "/ cannot be read: Is a directory"),
        (["search", "x", "--as", "nonsense"], "must be one plain e-mail address"),
        (["search", "x", "--as", "ä@example.org"], "must be one plain e-mail address"),
        (["search", "x", "--as", "a\nb@example.org"], "must be one plain e-mail address"),
        (["search", "x", "--as", "seed@commontrace.dev"], "USER_RESERVED: seed@commontrace.dev belongs to"),
        (["search", "x", "--address", ""], "commontrace: "),
        (["nonsense"], "No such command 'nonsense'"),
    ],
)
def test_what_cannot_be_is_explained(commands: Commands, arguments: list[str], said: str) -> None:
    assert said in commands.refusal(*arguments)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must hold one JSON object"),
        ('{"titel": "x"}', "no other fields than"),
        ('{"title": 3}', "title"),
        ('{"title": null}', "title is required"),
        ('{"title": "\\ud800"}', "title"),
        ('{"tags": "python"}', "tags"),
        ('{"tags": [1]}', "tags"),
        ('{"metadata": [1]}', "metadata"),
        ('{"metadata": {"x": NaN}}', "metadata"),
        ("\udcff\udcfe", "- is not UTF-8 text"),
    ],
)
def test_a_json_that_is_no_contribution_is_explained(commands: Commands, content: str, said: str) -> None:
    assert said in commands.refusal("contribute", "-", stdin=content)


def test_contribute_and_get_a_trace(commands: Commands) -> None:
    output = commands.output("contribute", *TEXTS, "--tag", "Light Bulb", "--agent-model", "m", "--agent-version", "2")
    trace_id = output.removeprefix("stored ").strip()
    trace = json.loads(commands.output("get", "--json", trace_id.upper()))
    assert (trace["title"], trace["context"], trace["solution"]) == TEXTS[1::2]
    assert (trace["tags"], trace["agent_model"], trace["agent_version"]) == (["light-bulb"], "m", "2")
    lines = commands.output("get", trace_id).splitlines()
    assert lines[:2] == ["A lamp flickers", "pending  #light-bulb"]
    assert lines[2].startswith(f"{trace_id}  revision 1  20")
    assert lines[3:] == ["", "Context", "It **does**.", "Often.", "", "Solution", "Change `bulb`."]


def test_contribute_from_files_and_standard_input(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "context.md").write_text("Größe: 3 µm", encoding="utf-8")
    assert commands.contributed(*TEXTS, "--context", f"@{tmp_path}/context.md")["context"] == "Größe: 3 µm"
    fields = {"title": "t", "context": "c", "solution": "s", "tags": ["b", "a"], "metadata": {"n": [1, None]}}
    (tmp_path / "trace.json").write_text(json.dumps(fields))
    expected = fields | {"tags": ["a", "b"]}
    assert commands.contributed(str(tmp_path / "trace.json")).items() >= expected.items()
    assert commands.contributed("-", stdin=json.dumps(fields)).items() >= expected.items()
    # Options win over the file.
    assert commands.contributed("-", "--title", "other", stdin=json.dumps(fields))["title"] == "other"


def test_what_the_model_did_not_read_is_told(commands: Commands) -> None:
    code, output, message = commands.run("contribute", *TEXTS, "--solution", "word " * 1000)
    assert (code, output.startswith("stored ")) == (0, True)
    assert re.fullmatch(r"the model read the first \d+ of 1\d{3} tokens: put what matters first\n", message)


def test_contributors_are_who_they_say(commands: Commands) -> None:
    callers: list[list[str]] = [
        [],
        ["--as", "ada@example.org"],
        ["--as", "ADA@example.org"],
        ["--as", "bob@example.org"],
    ]
    nobody, ada, ada_again, bob = (commands.contributed(*TEXTS, *caller)["contributor_id"] for caller in callers)
    assert ada == ada_again
    assert len({nobody, ada, bob}) == 3


@pytest.mark.parametrize("command", [["search", "x"], ["get", ABSENT], ["contribute", *TEXTS]])
def test_without_a_server_one_line_says_so(commands: Commands, command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    code, output, message = commands.run(*command, "--address", address)
    assert (code, output) == (1, "")
    assert (
        message
        == f"commontrace: no server answers on {address}: start one with `commontrace serve`, or give --address\n"
    )


def test_a_reader_who_leaves_early_is_no_failure(commands: Commands) -> None:
    command = [sys.executable, "-m", "commontrace", "search", "x", "--json", "-n", "1000"]
    settings = environment(commands.place, COMMONTRACE_ADDRESS=commands.server.address)
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as search:
        assert search.stdout is not None
        assert search.stderr is not None
        search.stdout.close()
        assert search.stderr.read() == b""


def test_a_trace_cannot_steer_the_terminal(commands: Commands) -> None:
    steering = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e\u200b"
    by_reference = "&#x202e;&#x200b;&#27;[2J [here](https://example.org/%1b) "
    trace_id = commands.contributed(*TEXTS, "--context", "The wheel of a car", "--solution", by_reference)["id"]
    title = f"Steering{steering}\n 1.000  A hit that nobody found"
    asyncio.run(smuggle(commands.server, trace_id, title, f"{steering}{by_reference}"))
    for command in (["get", trace_id], ["search", "wheel of a car", "-n", "1"]):
        for arguments in (command, [*command, "--json"]):
            shown = STYLES.sub("", commands.on_terminal(*arguments)).replace("\r\n", "\n")
            assert "Steering" in shown
            assert [c for c in shown if not (c.isprintable() or c == "\n")] == []
            assert not re.search(r"^ *1\.000  A hit", shown, re.MULTILINE)
            piped = commands.output(*arguments)
            assert [c for c in piped if not (c.isprintable() or c == "\n")] == []
    assert json.loads(commands.output("get", trace_id, "--json"))["title"] == title


async def smuggle(server: ServerProcess, trace_id: str, title: str, solution: str) -> None:
    """Stores what the server would refuse."""
    url = embedded.attach(server.data_dir)
    assert url is not None
    engine = engines.unpooled(url)
    async with engine.begin() as connection:
        statement = text("UPDATE traces SET title = :title, solution_text = :solution WHERE id = CAST(:id AS uuid)")
        await connection.execute(statement, {"title": title, "solution": solution, "id": trace_id})
    await engine.dispose()
