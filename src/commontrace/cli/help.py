"""Click command classes: the layout of `--help`, and usage errors as JSON.

Help is the same with and without a terminal: commands in groups, examples as they are typed.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from commontrace.cli.exit_codes import USAGE
from commontrace.cli.output.printing import fail, wants_json
from commontrace.cli.output.value_errors import value_error_message
from commontrace.cli.runtime.server_extra import require_server

# The base class of all usage errors, which Typer does not export.
_UsageError: type[BaseException] = typer.BadParameter.__mro__[1]


class Command(TyperCommand):
    """A command whose first line and epilogue are printed unchanged."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the arguments; what is wrong with a value is told in our words."""
        with _in_our_words():
            return super().parse_args(ctx, args)

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 - Typer's signature
        """Returns the first line of the help, untruncated."""
        return str(self.help).partition("\n")[0]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's signature
        """Writes the epilogue."""
        _write(self.epilog, formatter)


class ServerCommand(Command):
    """A command that runs code of the server, and so needs the extra `server`; its help does not."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command, or ends with what to install."""
        require_server()
        return super().invoke(ctx)


class Commands(TyperGroup):
    """A group that lists its commands under the headings of their `rich_help_panel`, untruncated."""

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 - Typer's signature
        """Returns the first line of the help, untruncated."""
        return str(self.help).partition("\n")[0]

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Parses the command line, and prints the output of `--help`, `--version` and their like."""
        with _closed_pipe_allowed():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; a closed output pipe ends it with exit code 0."""
        with _closed_pipe_allowed():
            return super().invoke(ctx)

    def main(self, *args: Any, **options: Any) -> Any:
        """Runs the command line; with --json, usage errors are JSON, too."""
        if not wants_json():
            return super().main(*args, **options)
        try:
            sys.exit(super().main(*args, **options | {"standalone_mode": False}))
        except _UsageError as error:
            fail(cast("typer.BadParameter", error).format_message(), USAGE)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's signature
        """Writes one section for each heading, in the order in which the commands were added."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            heading = str(getattr(command, "rich_help_panel", None) or "Commands")
            groups.setdefault(heading, []).append((name, command.get_short_help_str()))
        longest = max(map(len, self.commands))
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(longest), line) for name, line in rows])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's signature
        """Writes the epilogue."""
        _write(self.epilog, formatter)


@contextmanager
def _closed_pipe_allowed() -> Iterator[None]:
    """Exits with code 0 where the reader of the output closes the pipe, for which click exits with 1."""
    try:
        yield
    except BrokenPipeError:
        raise typer.Exit from None


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except typer.BadParameter as error:
        # Typer has read the value by Pydantic, whose errors are its cause.
        problems = getattr(error.__cause__, "errors", None)
        if problems is not None:
            error.message = "; ".join(value_error_message(problem) for problem in problems())
        raise


def _write(epilogue: str | None, formatter: Any) -> None:
    # Past click's formatter, which would rewrap the lines.
    if epilogue:
        formatter.write(f"\n{epilogue}\n")
