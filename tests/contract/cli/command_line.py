"""A command-line driver for tests: runs commands against one server and returns their output and messages."""

import json
from pathlib import Path
from typing import Any

from commontrace.cli.exit_codes import MEANINGS, USAGE
from tests.faults.server_process import ServerProcess
from tests.support.command_in_process import run_in_process, run_on_terminal

TEXTS = ("--title", "A lamp flickers", "--context", "It **does**.\nOften.", "--solution", "Change `bulb`.")
ABSENT = "123e4567-e89b-12d3-a456-426614174000"


class Commands:
    """Runs commands against one server."""

    def __init__(self, server: ServerProcess, place: Path, database_url: str) -> None:
        self.server = server
        self.place = place
        self.database_url = database_url
        self.variables = {"COMMONTRACE_ADDRESS": server.address, "DATABASE_URL": database_url}
        """Environment variables that name the server and the database."""

    def with_variables(self, **variables: str) -> "Commands":
        """Returns the same with more environment variables."""
        commands = Commands(self.server, self.place, self.database_url)
        commands.variables = self.variables | variables
        return commands

    def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Returns exit code, standard output and standard error, which never holds a traceback."""
        ended = run_in_process(self.place, *arguments, stdin=stdin, **self.variables)
        assert "Traceback" not in ended.stderr
        return ended.returncode, ended.stdout, ended.stderr

    def output(self, *arguments: str, stdin: str = "") -> str:
        """Returns the output of a command, which must succeed without messages."""
        code, output, message = self.run(*arguments, stdin=stdin)
        assert (code, message) == (0, "")
        return output

    def refusal(self, *arguments: str, stdin: str = "") -> str:
        """Returns the message of a command, which must fail, without line breaks and usage."""
        code, output, message = self.run(*arguments, stdin=stdin)
        usage, _, said = message.rpartition("\n\n")
        assert (code == USAGE) is usage.startswith("Usage: ")
        assert code in MEANINGS
        assert (code != 0, output) == (True, "")
        assert said.startswith("Error: " if usage else "commontrace: ")
        return " ".join(said.split())

    def contributed(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        trace = json.loads(self.output("contribute", "--json", *arguments, stdin=stdin))
        assert isinstance(trace, dict)
        return trace

    def on_terminal(self, *arguments: str, **settings: str) -> str:
        """Returns the output on a terminal."""
        return run_on_terminal(self.place, *arguments, **self.variables | {"TERM": "xterm-256color"} | settings)
