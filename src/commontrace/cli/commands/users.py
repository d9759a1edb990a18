"""Users of the database: `users create`, `users list`."""

from typing import TYPE_CHECKING, Annotated

import typer

from commontrace.cli.output.printing import join_facts, one_line, print_list
from commontrace.cli.runtime.database_session import run_in_unit_of_work
from commontrace.cli.runtime.environment import explain_failures
from commontrace.cli.runtime.server_calls import Json
from commontrace.domain import limits
from commontrace.domain.text import is_blank

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any
    from uuid import UUID

    from commontrace.storage.unit_of_work import UnitOfWork
    from commontrace.storage.users import UserRow

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's e-mail address.", show_default=False)]


def create_user(
    email: Email,
    *,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What the user is called, which everybody may read.")
    ] = "",
) -> None:
    """Create a user, who can then be given keys; give one that is there another name."""
    address, shown = normalized_email(email), _display_name(name)

    async def create(work: "UnitOfWork") -> "tuple[UUID, bool]":
        known = await work.users.get_id(address)
        if known is not None and shown:
            await work.users.rename(known, shown)
        return known or await work.users.get_or_create(address, display_name=shown), known is not None

    user_id, was_there = run_in_unit_of_work(create)
    renamed = f", now called {shown}" if was_there and shown else ""
    print(f"{address} {'was there already' if was_there else 'created'}{renamed}: {user_id}")


def list_users(*, as_json: Json = False) -> None:
    """List users: their addresses, names and ids."""

    async def ask(work: "UnitOfWork") -> "Sequence[UserRow]":
        return await work.users.list()

    found = run_in_unit_of_work(ask)
    print_list(found, as_json=as_json, to_dict=_to_dict, print_items=_print_users, empty="no users")


def _to_dict(user: "UserRow") -> "dict[str, Any]":
    return {
        "id": str(user.id),
        "email": user.email,
        "name": user.display_name,
        "created_at": user.created_at.isoformat(),
    }


def _print_users(found: "Sequence[UserRow]") -> None:
    from commontrace.cli.output.console import print_line, standard_output

    console = standard_output()
    for user in found:
        print_line(console, join_facts(str(user.id), one_line(user.email), one_line(user.display_name)))


def _display_name(given: str) -> str:
    """Returns a display name as it is stored. Raises typer.BadParameter."""
    shown = one_line(given)
    if given and is_blank(shown):
        raise typer.BadParameter("--name must have something that can be seen")
    if len(shown) > limits.USER_NAME_CHARACTERS:
        raise typer.BadParameter(f"--name may have {limits.USER_NAME_CHARACTERS} characters at most")
    return shown


def normalized_email(email: str) -> str:
    """Returns an e-mail address as it is stored; an invalid one ends the command with its message."""
    from commontrace.domain.caller import claim_address

    with explain_failures():
        return claim_address(email).email
