"""Namespaces: `namespaces create`, `list`, `describe`, `update`, `delete` and `enable`."""

from typing import TYPE_CHECKING, Annotated

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output.enum_labels import Visibility
from commontrace.cli.output.printing import message_to_dict, print_json, print_list, print_message
from commontrace.cli.runtime.server_calls import Address, As, Json, call_server

if TYPE_CHECKING:
    from commontrace.client import Client
    from commontrace.v1 import namespace_pb2

NamespaceName = Annotated[str, typer.Argument(metavar="NAME", help="The name of the namespace.", show_default=False)]
_VISIBILITIES = "private: only members read and write. readable: every user reads. open: every user reads and writes."


def create_namespace(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="1 to 63 of a to z, 0 to 9 and -; never changed or given again.", show_default=False
        ),
    ],
    *,
    description: Annotated[str, typer.Option(metavar="TEXT", help="What belongs there.", show_default=False)] = "",
    visibility: Annotated[Visibility, typer.Option(help=_VISIBILITIES)] = "private",
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Create a namespace, which you then own."""
    namespace = call_server(
        address,
        user,
        lambda client: client.create_namespace(name, description=description, visibility=visibility),
    )
    print_message(namespace, f"created {namespace.name}", as_json=as_json)


def list_namespaces(
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """List the namespaces that you may read, and what you are there."""

    async def ask(client: "Client") -> "list[namespace_pb2.Namespace]":
        return [namespace async for namespace in client.list_namespaces()]

    found = call_server(address, user, ask)
    from commontrace.cli.output.namespaces import print_namespaces

    print_list(found, as_json=as_json, to_dict=message_to_dict, print_items=print_namespaces, empty="nothing found")


def describe_namespace(
    name: NamespaceName,
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Print what a namespace is for and who reads it."""
    _print_one(call_server(address, user, lambda client: client.get_namespace(name)), as_json=as_json)


def update_namespace(
    name: NamespaceName,
    *,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="What belongs there.")] = None,
    visibility: Annotated[Visibility | None, typer.Option(help=_VISIBILITIES)] = None,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Change the description or the visibility."""
    if description is None and visibility is None:
        raise typer.BadParameter("say what to change: --description or --visibility")
    changed = call_server(
        address,
        user,
        lambda client: client.update_namespace(name, description=description, visibility=visibility),
    )
    _print_one(changed, as_json=as_json)


def delete_namespace(
    name: NamespaceName,
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
) -> None:
    """Delete an empty namespace; its name is never given again."""
    call_server(address, user, lambda client: client.delete_namespace(name))
    print(f"deleted {name}")


def enable_namespaces() -> None:
    """Allow other namespaces than `commons`, once for a database.

    Run it after every server of an older version has stopped: those know one namespace, and would show the traces of
    all others to everybody. From then on, they fail on this database.
    """
    import asyncio

    from commontrace.cli.output.progress import progress
    from commontrace.cli.runtime.environment import explain_failures, prepare_server_command
    from commontrace.serving import bootstrap
    from commontrace.serving.database_checks import require_newest_revision
    from commontrace.storage.namespaces import enabling

    async def enable(where: bootstrap.Postgres) -> bool:
        await require_newest_revision(where.url)
        return await enabling.enable(where.url)

    settings = prepare_server_command()
    with explain_failures(), progress("enabling namespaces"), bootstrap.postgres(settings, attach=True) as where:
        changed = asyncio.run(enable(where))
    print("namespaces are enabled from now on" if changed else "namespaces were enabled already")


def _print_one(namespace: "namespace_pb2.Namespace", *, as_json: bool) -> None:
    if as_json:
        print_json(message_to_dict(namespace))
        return
    from commontrace.cli.output.namespaces import print_namespace

    print_namespace(namespace)
