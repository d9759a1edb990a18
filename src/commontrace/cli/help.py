"""How `--help` is laid out: commands in groups, examples as they are typed, the same with and without a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from commontrace.cli.exit_codes import USAGE
from commontrace.cli.output.printing import fail, wants_json

# Whatever is wrong with a command line; Typer does not export it.
_UsageError: type[BaseException] = typer.BadParameter.__mro__[1]


class Command(TyperCommand):
    """A command whose first line and epilogue are printed as they stand."""

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 - Typer's signature
        """Returns the first line, which fits wherever it is shown."""
        return str(self.help).partition("\n")[0]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's signature
        """Writes the epilogue."""
        _write(self.epilog, formatter)


class Commands(TyperGroup):
    """All commands under the headings of their `rich_help_panel`, none of their lines cut short."""

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 - Typer's signature
        """Returns the first line, which fits wherever it is shown."""
        return str(self.help).partition("\n")[0]

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Reads the command line, and prints what `--help` and its like ask for."""
        with _reader_may_leave():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        with _reader_may_leave():
            return super().invoke(ctx)

    def main(self, *args: Any, **options: Any) -> Any:
        """Runs the whole; with --json, what is wrong with how the command was given is JSON, too."""
        if not wants_json():
            return super().main(*args, **options)
        try:
            sys.exit(super().main(*args, **options | {"standalone_mode": False}))
        except _UsageError as error:
            fail(cast("typer.BadParameter", error).format_message(), USAGE)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Typer's signature
        """Writes one section a group, in the order in which the commands were added."""
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
def _reader_may_leave() -> Iterator[None]:
    """Whoever reads the output and leaves has what they want: that is no failure, as it is click's."""
    try:
        yield
    except BrokenPipeError:
        raise typer.Exit from None


def _write(epilogue: str | None, formatter: Any) -> None:
    # click would fill its lines.
    if epilogue:
        formatter.write(f"\n{epilogue}\n")
