"""Commands about users: `users create` and `list`."""

from typing import TYPE_CHECKING, Annotated

import typer

from commontrace.cli.output.printing import one_line, print_json
from commontrace.cli.runtime.database_session import work_on_database
from commontrace.cli.runtime.environment import explain_failures
from commontrace.cli.runtime.server_calls import Json
from commontrace.domain import limits
from commontrace.domain.text import is_blank

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    address, shown = address_of(email), _name(name)

    async def create(work: "UnitOfWork") -> "tuple[UUID, bool]":
        known = await work.users.id_of(address)
        if known is not None and shown:
            await work.users.rename(known, shown)
        return known or await work.users.ensure(address, display_name=shown), known is not None

    user_id, was_there = work_on_database(create)
    renamed = f", now called {shown}" if was_there and shown else ""
    print(f"{address} {'was there already' if was_there else 'created'}{renamed}: {user_id}")


def list_users(*, as_json: Json = False) -> None:
    """List users: their addresses, names and ids."""

    async def ask(work: "UnitOfWork") -> "Sequence[UserRow]":
        return await work.users.list()

    found = work_on_database(ask)
    if as_json:
        for user in found:
            print_json(
                {
                    "id": str(user.id),
                    "email": user.email,
                    "name": user.display_name,
                    "created_at": user.created_at.isoformat(),
                }
            )
    elif found:
        _print_users(found)
    else:
        print("no users")


def _print_users(found: "Sequence[UserRow]") -> None:
    from commontrace.cli.output.console import print_line, standard_output

    console = standard_output()
    for user in found:
        facts = (str(user.id), one_line(user.email), one_line(user.display_name))
        print_line(console, "  ".join(filter(None, facts)))


def _name(given: str) -> str:
    """Returns a name as it is stored, or says what is wrong with it and ends."""
    shown = one_line(given)
    if given and is_blank(shown):
        raise typer.BadParameter("--name must have something that can be seen")
    if len(shown) > limits.USER_NAME_CHARACTERS:
        raise typer.BadParameter(f"--name may have {limits.USER_NAME_CHARACTERS} characters at most")
    return shown


def address_of(email: str) -> str:
    """Returns an address as it is stored, or says what is wrong with it and ends."""
    from commontrace.domain.caller import claimed

    with explain_failures():
        return claimed(email).email
