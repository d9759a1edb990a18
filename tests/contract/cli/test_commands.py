"""Properties of all commands: one-line failures, exit codes, no terminal control characters."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys

import pytest
from sqlalchemy import text

from commontrace.cli.exit_codes import TRY_AGAIN, USAGE
from commontrace.storage import engines
from tests.contract.cli.command_line import ABSENT, TEXTS, Commands
from tests.faults.server_process import environment, run_command

STYLES = re.compile(r"\x1b\[[0-9;]*m")
STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", " \t "], "FIELD_REQUIRED: text is required"),
        (["search", ""], "give either a text or --like ID"),
        (["search", "x", "--like", ABSENT], "give either a text or --like ID"),
        (["search", "--like", "nonsense"], "'nonsense' is not the id of a trace"),
        (["search", "--like", ABSENT], f"TRACE_NOT_FOUND: no trace has the id {ABSENT}"),
        (["search", "x", "-n", "0"], "'--limit' / '-n': must be at least 1"),
        (["search", "x", "-n", "1001"], "'--limit' / '-n': must be at most 1000"),
        (["search", "x", "-n", "few"], "'--limit' / '-n': must be a whole number"),
        (["search", "x", "-n", "99999999999"], "'--limit' / '-n'"),
        (["search", "x" * 8001], "FIELD_TOO_LONG: text has 8001 characters; at most 8000 are allowed"),
        (["search", "x", "--min-similarity", "1.1"], "'--min-similarity'"),
        (["search", "x", "--min-similarity", "nan"], "'--min-similarity'"),
        (["search", "x", "--status", "fine"], "'--status': 'fine' is not one of 'pending', 'validated'"),
        (["search", "x", "--any-tag", "b@d"], "'b@d' has the character U+0040"),
        (["search", "\udcff"], "must be UTF-8"),
        (["search", "x", "--tag", "\udcff"], "must be UTF-8"),
        (["list", "-n", "0"], "'--limit' / '-n'"),
        (["list", "--since", "yesterday"], "'--since': 'yesterday' is no time such as 2026-01-31"),
        # Neither is a number of seconds since 1970.
        (["list", "--until", "2026"], "'--until': '2026' is no time such as 2026-01-31"),
        (["list", "--since", "0001-01-01T00:00:00+12:00"], "outside the years 1 to 9999 in UTC"),
        (["export", "--until", "9999-12-31T23:59:59-12:00"], "outside the years 1 to 9999 in UTC"),
        (["list", "--by", "nonsense"], "filter.contributor_ids[0] is not a UUID"),
        (["get", "nonsense"], "MALFORMED_ID: trace_id is not a UUID"),
        (["get", ABSENT], f"TRACE_NOT_FOUND: no trace has the id {ABSENT}"),
        (["get", "\udcff"], "must be UTF-8"),
        (["contribute"], "title is required (and 2 more) context is required solution is required"),
        (["contribute", *TEXTS, "--title", "\x1b[31m"], "title has the forbidden character U+001B at position 0"),
        (["contribute", *TEXTS, "--tag", "ok", "--tag", "b@d"], "tags[1] 'b@d' has the character U+0040"),
        (["contribute", *TEXTS, "--context", "@/absent"], "/absent cannot be read: No such file"),
        (["contribute", *TEXTS, "--supersedes", ABSENT], f"TRACE_NOT_FOUND: no trace has the id {ABSENT}"),
        (["contribute", *TEXTS, "--on-duplicate", "cry"], "'--on-duplicate'"),
        (["contribute", "/absent"], "/absent cannot be read: No such file"),
        (["contribute", "/"], "/ cannot be read: Is a directory"),
        (["update", ABSENT], "say what to change, such as --title"),
        (["update", ABSENT, "--tag", "a", "--no-tags"], "give either --tag or --no-tags"),
        (["update", ABSENT, "--title", ""], "trace.title is required"),
        (["delete", ABSENT], f"TRACE_NOT_FOUND: no trace has the id {ABSENT}"),
        (["vote", ABSENT, "sideways"], "'up', 'down', 'retract'"),
        (["vote", ABSENT, "up", "--reason", "spam"], "reason"),
        (["vote", ABSENT, "down", "--reason", "ugly"], "'--reason'"),
        (["vote", ABSENT, "up", "--revision", "-1"], "'--revision'"),
        (["vote", ABSENT, "up", "--revision", "2147483648"], "'--revision'"),
        (["vote", ABSENT, "retract", "--comment", "x"], "retract takes no --reason, --comment or --revision"),
        (["tags", "-n", "501"], "'--limit' / '-n'"),
        (["describe-tag", "absent", "x"], "TAG_NOT_FOUND: there is no tag 'absent'"),
        (["describe-tag", "python"], "give a text, --curated or --not-curated"),
        (["merge-tags", "a", "b@d"], "'b@d' has the character U+0040"),
        (["search", "x", "--as", "nonsense"], "must be one plain e-mail address"),
        (["search", "x", "--as", "ä@example.org"], "must be one plain e-mail address"),
        (["search", "x", "--as", "a\nb@example.org"], "must be one plain e-mail address"),
        (["search", "x", "--as", "seed@commontrace.dev"], "USER_RESERVED: seed@commontrace.dev belongs to"),
        (["search", "x", "--address", ""], "--address must be HOST:PORT, such as 127.0.0.1:50051"),
        (["nonsense"], "No such command 'nonsense'"),
    ],
)
def test_what_cannot_be_is_explained(commands: Commands, arguments: list[str], said: str) -> None:
    assert said in commands.refusal(*arguments)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is nested too deep"),
        ("[]", "must hold one JSON object"),
        ('{"titel": "x"}', "unknown field 'titel'; a trace has title, context,"),
        ('{"request_id": "x"}', "unknown field 'request_id'"),
        ('{"title": 3}', "title"),
        ('{"title": null, "tags": null}', "title is required"),
        ('{"title": "\\ud800"}', "title"),
        ('{"on_duplicate": "\\ud800"}', "unknown field"),
        ('{"metadata": {"n": ' + "9" * 400 + "}}", "- holds a number of 400 digits; the largest has 309"),
        ('{"metadata": [-' + "9" * 5_000 + "]}", "- holds a number of 5000 digits"),
        ('{"metadata": {"n": 1e400}}', "metadata holds a number that is NaN or infinite"),
        ('{"metadata": {"n": ' + "[" * 60 + "]" * 60 + "}}", "too deep"),
        ('{"tags": "python"}', "tags"),
        ('{"tags": [1]}', "tags"),
        ('{"metadata": [1]}', "metadata"),
        ('{"metadata": {"x": NaN}}', "metadata"),
        ("\udcff\udcfe", "- is not UTF-8 text"),
    ],
)
def test_a_json_that_is_no_contribution_is_explained(commands: Commands, content: str, said: str) -> None:
    assert said in commands.refusal("contribute", "-", stdin=content)


@pytest.mark.parametrize(
    "command",
    [["search", "x"], ["list"], ["get", ABSENT], ["contribute", *TEXTS], ["vote", ABSENT, "up"], ["tags"]],
)
def test_without_a_server_one_line_says_so(commands: Commands, command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    code, output, message = commands.run(*command, "--address", address)
    assert (code, output) == (TRY_AGAIN, "")
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


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_a_proxy_does_not_stand_before_this_machine(commands: Commands, variable: str) -> None:
    def run(*arguments: str, address: str) -> subprocess.CompletedProcess[str]:
        variables = {variable: "http://127.0.0.1:9", "COMMONTRACE_ADDRESS": address}
        return run_command(commands.place, *arguments, **variables)

    assert run("list", "-n", "1", address=commands.server.address).returncode == 0
    assert run("health", address=f"localhost:{commands.server.port}").stdout == "SERVING\n"
    away = run("list", address="traces.invalid:50051")
    assert (away.returncode, f"through the proxy of {variable} (unset it" in away.stderr) == (TRY_AGAIN, True)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("list --json | head -n 1", 0),
        ("list -n 100 | head -n 1", 0),
        ("search x -n 100 --json | true", 0),
        *((f"{command} | true", 0) for command in ("", "--help", "--version", "--show-completion", "keys --help")),
        ("export | true", 1),
        ("export --embeddings | head -c 1", 1),
    ],
)
def test_a_reader_who_has_enough_is_no_failure_but_of_an_export(commands: Commands, command: str, code: int) -> None:
    # Line by line, so that the reader has left before the end.
    settings = environment(commands.place, COMMONTRACE_ADDRESS=commands.server.address, PYTHONUNBUFFERED="1")
    script = f"set -o pipefail; {sys.executable} -m commontrace {command}"
    ended = subprocess.run(["/bin/bash", "-c", script], env=settings, capture_output=True, text=True, check=False)
    said = "commontrace: nobody reads the output any more: it is not complete\n" if code else ""
    assert (ended.returncode, ended.stderr) == (code, said)


@pytest.mark.parametrize("command", ["import -", "contribute -", "contribute --title x --context @- --solution x"])
def test_a_closed_standard_input_is_told(commands: Commands, command: str) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m commontrace {command} <&-"],
        env=environment(commands.place, COMMONTRACE_ADDRESS=commands.server.address),
        capture_output=True,
        text=True,
        check=False,
    )
    said = "Error: Invalid value: standard input is closed: give a FILE instead of -"
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (USAGE, said)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["get", ABSENT], "TRACE_NOT_FOUND"),
        (["get", "nonsense"], "MALFORMED_ID"),
        (["search"], ""),
        (["list", "--no-such-option"], ""),
        (["list", "--address", "127.0.0.1:1"], ""),
        (["keys", "list", "nonsense"], ""),
    ],
)
def test_failures_are_json_where_results_are(commands: Commands, arguments: list[str], reason: str) -> None:
    plain = commands.run(*arguments)
    code, output, message = commands.run(*arguments, "--json")
    told = json.loads(message)
    assert (code, output, told["exit_code"], told["reason"]) == (plain[0], "", plain[0], reason)
    assert told["error"] in plain[2]


@pytest.mark.parametrize("command", ["list", "list --json", pytest.param("doctor", marks=pytest.mark.slow), "--help"])
def test_an_output_that_cannot_be_written_is_no_traceback(commands: Commands, command: str) -> None:
    settings = environment(commands.place, COMMONTRACE_ADDRESS=commands.server.address)
    reason = "the output cannot be written: No space left on device"
    as_json = json.dumps({"error": reason, "reason": "", "exit_code": 1})
    full = as_json if "--json" in command else f"commontrace: {reason}"
    for where, code, said in (
        (">/dev/full", 1, f"{full}\n"),
        (">&-", 0, ""),
    ):
        ended = subprocess.run(
            ["/bin/sh", "-c", f"{sys.executable} -m commontrace {command} {where}"],
            env=settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (code, said)


def test_who_leaves_is_not_shown_a_traceback(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [sys.executable, "-m", "commontrace", "search", "x"]
        settings = environment(commands.place, COMMONTRACE_ADDRESS=f"127.0.0.1:{silent.getsockname()[1]}")
        with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as search:
            connection, _ = silent.accept()
            search.send_signal(signal.SIGINT)
            output, message = search.communicate(timeout=30)
            connection.close()
    assert (search.returncode, output, message) == (130, b"", b"")


def test_colours_are_for_terminals_that_have_them(commands: Commands) -> None:
    colour = re.compile(r"\x1b\[[0-9;]*3[0-9]m")
    listing, address = ("search", "cache", "-n", "1"), commands.server.address
    assert colour.search(commands.on_terminal(*listing))
    assert not colour.search(commands.on_terminal(*listing, NO_COLOR="1"))
    assert "\x1b" not in commands.on_terminal(*listing, TERM="dumb")
    for settings in ({}, {"FORCE_COLOR": "1"}):
        assert "\x1b" not in run_command(commands.place, *listing, COMMONTRACE_ADDRESS=address, **settings).stdout


def test_lists_fit_a_terminal_and_are_whole_in_a_pipe(commands: Commands) -> None:
    title = "A title that goes on " * 9
    trace = commands.contributed(*TEXTS, "--context", title, "--title", title, "--tag", "c", "--tag", "h" * 50)
    for command in (["list", "-n", "1"], ["search", title, "-n", "1"]):
        lines = STYLES.sub("", commands.on_terminal(*command, COLUMNS="60")).splitlines()
        assert max(map(len, lines)) <= 60
        assert any(line.endswith("…") for line in lines)
        assert any(trace["id"] in line for line in lines)
        assert title.strip() in commands.output(*command)


def test_a_trace_cannot_steer_the_terminal(commands: Commands) -> None:
    steering = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e\u200b"
    by_reference = "&#x202e;&#x200b;&#27;[2J [here](https://example.org/%1b) "
    texts = ("--title", "Steering", "--context", "The wheel of a car", "--solution", by_reference)
    trace_id = commands.contributed(*texts, "--tag", "wheel")["id"]
    title = f"Steering{steering}\n 1.000  A hit that nobody found"
    commands.output("vote", trace_id, "up", "--comment", "Steering", "--as", "bob@example.org")
    asyncio.run(smuggle(commands.database_url, trace_id, title, f"{steering}{by_reference}"))
    printing = (
        ["get", trace_id],
        ["get", trace_id, "--json"],
        ["search", "wheel of a car", "-n", "1"],
        ["list", "-n", "1"],
        ["history", trace_id, "--full"],
        ["tags", "wheel"],
        ["votes", trace_id],
    )
    for command in printing:
        shown = STYLES.sub("", commands.on_terminal(*command)).replace("\r\n", "\n")
        assert "Steering" in shown
        assert not STEERING.search(shown)
        assert not re.search(r"^ *1\.000  A hit", shown, re.MULTILINE)
        piped = commands.output(*command)
        assert not STEERING.search(piped)
    assert json.loads(commands.output("get", trace_id, "--json"))["title"] == title
    _, _, similar = commands.run("contribute", *texts, "--on-duplicate", "allow")
    assert "Steering" in similar
    assert not STEERING.search(similar)


async def smuggle(database_url: str, trace_id: str, title: str, solution: str) -> None:
    """Stores texts that the server would refuse."""
    engine = engines.unpooled(database_url)
    statements = (
        "UPDATE traces SET title = :title, solution_text = :solution WHERE id = CAST(:id AS uuid)",
        "UPDATE trace_revisions SET title = :title, solution_text = :solution WHERE trace_id = CAST(:id AS uuid)",
        "UPDATE tags SET description = :title WHERE name = 'wheel'",
        "UPDATE votes SET comment = :title WHERE trace_id = CAST(:id AS uuid)",
    )
    values = {"title": title, "solution": solution, "id": trace_id}
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(
                text(statement).bindparams(**{k: v for k, v in values.items() if f":{k}" in statement})
            )
    await engine.dispose()
