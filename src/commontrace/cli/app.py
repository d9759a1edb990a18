"""The Typer application: all commands in groups, with their examples, and the text of `commontrace --help`."""

from collections.abc import Callable
from typing import Annotated

import typer

from commontrace import DEFAULT_ADDRESS, __version__
from commontrace.cli.command_groups import GROUPS, NAMES, NOUN_HEADINGS, NOUNS, SERVER_COMMANDS
from commontrace.cli.exit_codes import MEANINGS
from commontrace.cli.help import Command, Commands, ServerCommand
from commontrace.cli.runtime.tls_options import CaFile, CertFile, KeyFile, ServerName, UseTls, save_tls_options

_EPILOGUE = f"""\
Examples:
  commontrace serve
  commontrace search 'my ORM session breaks after an await'
  commontrace vote ID up --as ada@example.org

Environment:
  COMMONTRACE_ADDRESS    where the server is; {DEFAULT_ADDRESS} without
  COMMONTRACE_KEY        the API key to call with
  COMMONTRACE_USER       who is calling a server that asks for no key, by e-mail
  COMMONTRACE_NAMESPACE  the namespace to store in, and to look in; to look in
                         several, their names with spaces between them
  NO_COLOR               no colours; there are none either where nobody looks
  serve, worker, doctor, bulk-import, migrate, seed, reembed, recount, users,
  keys and namespaces enable read the server's settings, such as DATABASE_URL.

With --json, what goes wrong is an object, too, on standard error: error, reason
(of the contract, or empty) and exit_code. health tells by its result.

Exit codes:
"""


def app() -> typer.Typer:
    """Returns the application with all commands."""
    app = typer.Typer(
        cls=Commands,
        help="A shared memory for AI agents: traces of solved problems, searched by meaning.",
        epilog=_EPILOGUE + "\n".join(f"  {code:<3}  {meaning}" for code, meaning in MEANINGS.items()),
        invoke_without_command=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_commontrace)
    for heading, commands in GROUPS.items():
        for command, examples in commands.items():
            name = NAMES.get(command)
            app.command(name, cls=_class_of(command), epilog=_examples(examples), rich_help_panel=heading)(command)
    for noun, (about, verbs) in NOUNS.items():
        group = typer.Typer(cls=Commands, help=about, no_args_is_help=True, rich_markup_mode=None)
        for name, (command, examples) in verbs.items():
            group.command(name, cls=_class_of(command), epilog=_examples(examples))(command)
        app.add_typer(group, name=noun, rich_help_panel=NOUN_HEADINGS[noun])
    return app


def _commontrace(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
    use_tls: UseTls = False,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
    server_name: ServerName = None,
) -> None:
    if version:
        print(f"commontrace {__version__}")
        raise typer.Exit
    save_tls_options(use_tls=use_tls, ca_file=ca_file, cert_file=cert_file, key_file=key_file, server_name=server_name)
    if context.invoked_subcommand is None:
        print(context.get_help())


def _class_of(command: Callable[..., None]) -> type[Command]:
    return ServerCommand if command in SERVER_COMMANDS else Command


def _examples(lines: tuple[str, ...]) -> str | None:
    return "\n  ".join(("Examples:" if len(lines) > 1 else "Example:", *lines)) if lines else None
