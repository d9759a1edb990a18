"""Help, version, reference and completion, which need no server."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from commontrace import __version__
from commontrace.cli.exit_codes import MEANINGS
from tests.faults.server_process import environment, run_command
from tests.support.command_in_process import run_in_process
from tests.support.repository import REPOSITORY

GROUPS = (
    "Find:",
    "Contribute:",
    "Vote and tags:",
    "Moderate:",
    "Run and maintain:",
    "Namespaces, users and keys:",
    "Models:",
)
PROGRAM = Path(sys.executable).with_name("commontrace")

IMPORTED = """
import sys
from commontrace.cli import main
sys.argv = ["commontrace", "--help"]
try:
    main()
except SystemExit:
    heavy = ("alembic", "grpc", "google.protobuf", "numpy", "pydantic", "rich", "sqlalchemy", "structlog", "uvloop")
    sys.stderr.write(" ".join(name for name in heavy if name in sys.modules))
"""


def help_of(place: Path, *arguments: str) -> str:
    ended = run_in_process(place, *arguments, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_the_help_has_a_line_for_each_command_in_groups(tmp_path: Path) -> None:
    shown = help_of(tmp_path)
    assert max(map(len, shown.splitlines())) <= 80
    assert [line for line in shown.splitlines() if line in GROUPS] == list(GROUPS)
    listed = shown[shown.index("Find:") : shown.index("Examples:")].splitlines()
    commands = [line.split()[0] for line in listed if line and line not in GROUPS]
    # No line goes on in a second one, or is cut short.
    assert all(re.fullmatch(r"  [a-z-]+ {2,}[A-Z].*[^.][.]", line) for line in listed if line and line not in GROUPS)
    assert {"search", "list", "votes", "doctor", "health", "info"} <= set(commands)
    for word in (
        "COMMONTRACE_ADDRESS",
        "COMMONTRACE_KEY",
        "COMMONTRACE_USER",
        "COMMONTRACE_NAMESPACE",
        *MEANINGS.values(),
    ):
        assert word in shown
    for arguments in ([], ["--help"]):
        ended = run_in_process(tmp_path, *arguments)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, shown, "")
    for command in commands:
        one = help_of(tmp_path, command)
        assert one.startswith(f"Usage: commontrace {command} ")
        assert max(map(len, one.splitlines())) <= 80


def test_the_version(tmp_path: Path) -> None:
    ended = run_command(tmp_path, "--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"commontrace {__version__}\n", "")


def test_the_reference_is_what_the_help_says(tmp_path: Path) -> None:
    generated = subprocess.run(
        [sys.executable, str(REPOSITORY / ".ci" / "commands.py")],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    committed = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
    assert committed == generated, "run `make generate` and commit docs/commands.md"


def test_the_help_imports_nothing_that_takes_long(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", IMPORTED],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stderr == ""
    assert "Exit codes:" in ended.stdout


def test_a_misspelt_command_is_recognised(tmp_path: Path) -> None:
    ended = run_in_process(tmp_path, "serach", "x")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Did you mean 'search'?" in ended.stderr


completions = pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["vo"], ["vote", "votes"]),
        (["vote", "ID", ""], ["up", "down", "retract"]),
        (["vote", "ID", "down", "--reason", ""], ["outdated", "incorrect", "harmful", "duplicate", "spam"]),
        (["list", "--status", "v"], ["validated"]),
        (["contribute", "--on-duplicate", "re"], ["return_existing", "reject"]),
        (["search", "--min-s"], ["--min-similarity"]),
        (["namespaces", "grant", "team", "ada@example.org", "--role", "o"], ["owner"]),
    ],
)


@completions
def test_zsh_and_fish_complete_commands_and_values(tmp_path: Path, typed: list[str], offered: list[str]) -> None:
    words = ["commontrace", *typed]

    def completed(shell: str, **variables: str) -> str:
        ended = run_in_process(tmp_path, _COMMONTRACE_COMPLETE=f"complete_{shell}", **variables)
        assert ended.returncode == 0
        return ended.stdout

    line = shlex.join(words[:-1]) + f" {words[-1]}"
    zsh = completed("zsh", _TYPER_COMPLETE_ARGS=line)
    assert [row.split('"')[1] for row in zsh.splitlines()] == offered
    fish = completed("fish", _TYPER_COMPLETE_ARGS=line, _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert [row.partition("\t")[0] for row in fish.splitlines()] == offered


@pytest.mark.slow
@completions
def test_bash_completes_commands_and_values(tmp_path: Path, typed: list[str], offered: list[str]) -> None:
    assert in_bash(tmp_path, ["commontrace", *typed]).split() == offered


def in_bash(place: Path, words: list[str]) -> str:
    """Returns bash's completions of the last word, with the script of --show-completion."""
    script = "\n".join(
        (
            'eval "$(commontrace --show-completion)"',
            f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}",
            "_commontrace_completion commontrace",
            "printf '%s\\n' \"${COMPREPLY[@]}\"",
        )
    )
    settings = environment(place) | {"PATH": f"{PROGRAM.parent}:{environment(place)['PATH']}"}
    return subprocess.check_output(["/bin/bash", "-c", script], env=settings, text=True, timeout=60)


def test_completion_is_installed_for_whoever_asks(tmp_path: Path) -> None:
    settings = environment(tmp_path) | {"PATH": f"{PROGRAM.parent}:{environment(tmp_path)['PATH']}"}
    command = ["/bin/bash", "-c", "commontrace --install-completion; exit $?"]
    said = subprocess.check_output(command, env=settings, text=True, timeout=60)
    assert said.startswith("bash completion installed in ")
    assert "_commontrace_completion" in (tmp_path / ".bash_completions" / "commontrace.sh").read_text()
