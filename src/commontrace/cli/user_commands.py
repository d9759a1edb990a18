"""Commands about users: `users create`."""

from typing import TYPE_CHECKING, Annotated

import typer

from commontrace.cli.environment import failures_explained
from commontrace.cli.output import one_line
from commontrace.cli.working import work_on_database

# Imported when a command runs: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    from uuid import UUID

    from commontrace.storage.unit_of_work import UnitOfWork

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's e-mail address.", show_default=False)]


def create_user(
    email: Email,
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What the user is called.")] = "",
) -> None:
    """Create a user, who can then be given keys."""
    address = address_of(email)

    async def create(work: "UnitOfWork") -> "tuple[UUID, bool]":
        known = await work.users.id_of(address)
        return known or await work.users.ensure(address, display_name=one_line(name)), known is not None

    user_id, was_there = work_on_database(create)
    print(f"{address} {'was there already' if was_there else 'created'}: {user_id}")


def address_of(email: str) -> str:
    """Returns an address as it is stored, or says what is wrong with it and ends."""
    from commontrace.core.caller import claimed

    with failures_explained():
        return claimed(email).email
