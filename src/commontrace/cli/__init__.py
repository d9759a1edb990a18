"""The command line: the only reader of arguments and environment."""

import typer

from commontrace.cli.database_commands import migrate, seed
from commontrace.cli.serve import serve
from commontrace.cli.trace_commands import contribute, get, search


def main() -> None:
    """Runs `commontrace`."""
    app = typer.Typer(
        help="A shared memory for AI agents: traces of solved problems, searched by meaning.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for command in (serve, migrate, seed, search, contribute, get):
        app.command()(command)
    app()
