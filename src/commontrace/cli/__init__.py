"""The command line: the only reader of arguments and environment."""

from collections.abc import Callable

import typer

from commontrace.cli.contribute_commands import contribute, delete, undelete, update
from commontrace.cli.database_commands import migrate, recount, seed
from commontrace.cli.find_commands import get, history, list_traces, search
from commontrace.cli.serve import serve
from commontrace.cli.tag_commands import describe_tag, merge_tags, tags
from commontrace.cli.vote_commands import vote


def main() -> None:
    """Runs `commontrace`."""
    app = typer.Typer(
        help="A shared memory for AI agents: traces of solved problems, searched by meaning.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    commands: tuple[Callable[..., None], ...] = (
        *(serve, migrate, seed, recount),
        *(search, list_traces, get, history),
        *(contribute, update, delete, undelete),
        *(vote, tags, describe_tag, merge_tags),
    )
    for command in commands:
        # Python has a `list` of its own.
        app.command("list" if command is list_traces else None)(command)
    app()
