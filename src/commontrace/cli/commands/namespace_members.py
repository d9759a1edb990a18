"""Members of namespaces: `namespaces members`, `grant` and `revoke`."""

from typing import TYPE_CHECKING, Annotated

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.commands.namespaces import NamespaceName
from commontrace.cli.output.enum_labels import Role, role_label
from commontrace.cli.output.printing import message_to_dict, one_line, print_list, print_message
from commontrace.cli.runtime.server_calls import Address, As, Json, call_server

if TYPE_CHECKING:
    from commontrace.client import Client
    from commontrace.v1 import namespace_pb2

MemberEmail = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's e-mail address.", show_default=False)]
_ROLES = (
    "reader: reads. writer: also contributes, edits its own, votes. moderator: also hides and purges. owner: also"
    " manages members, description and visibility."
)


def list_members(
    name: NamespaceName,
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """List the members of a namespace and their roles."""

    async def ask(client: "Client") -> "list[namespace_pb2.NamespaceMember]":
        return [member async for member in client.list_members(name)]

    found = call_server(address, user, ask)
    from commontrace.cli.output.namespaces import print_members

    print_list(found, as_json=as_json, to_dict=message_to_dict, print_items=print_members, empty="no members")


def grant_role(
    name: NamespaceName,
    email: MemberEmail,
    *,
    role: Annotated[Role, typer.Option(help=_ROLES, show_default=False)],
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Make a user a member, or give a member another role."""
    member = call_server(address, user, lambda client: client.set_member(name, email, role))
    line = f"{one_line(member.email)} is {role_label(member.role)} of {one_line(name)}"
    print_message(member, line, as_json=as_json)


def revoke_role(
    name: NamespaceName,
    email: MemberEmail,
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """End a membership; that of others as an owner."""
    member = call_server(address, user, lambda client: client.remove_member(name, email))
    line = f"{one_line(member.email)} is no longer {role_label(member.role)} of {one_line(name)}"
    print_message(member, line, as_json=as_json)
