"""How a command calls a server, and the options of every command that does."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from commontrace.cli.output import fail

# Imported when a command runs: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    from commontrace.client import Client

Answer = TypeVar("Answer")

Address = Annotated[str, typer.Option("--address", envvar="COMMONTRACE_ADDRESS", help="The server, as HOST:PORT.")]
As = Annotated[
    str | None,
    typer.Option("--as", envvar="COMMONTRACE_USER", metavar="EMAIL", help="Who is calling.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
TraceId = Annotated[str, typer.Argument(metavar="ID", help="The trace's UUID.", show_default=False)]
Etag = Annotated[str | None, typer.Option(help="The trace's etag as last read: refuses if it was edited since.")]


def call(address: str, user: str | None, ask: Callable[["Client"], Awaitable[Answer]]) -> Answer:
    """Returns what the server answers, or says why it does not and ends."""
    # gRPC's own lines would stand before ours, and say less. It reads the variable when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from commontrace.client import CallFailed, connect

    if user is not None and not (user.isascii() and user.isprintable()):
        raise typer.BadParameter("--as must be one plain e-mail address, such as ada@example.org")

    async def asked() -> Answer:
        async with connect(address, user=user) as client:
            return await ask(client)

    try:
        return asyncio.run(asked())
    except CallFailed as error:
        if error.code.name == "UNAVAILABLE" and not error.reason:
            fail(f"no server answers on {address}: start one with `commontrace serve`, or give --address")
        # The message names the first field at fault; the others follow.
        others = list(error.violations.items())[1:]
        fail("\n".join([str(error), *(f"  {field} {problem}" for field, problem in others)]))
    except UnicodeEncodeError:
        fail("what you give must be UTF-8 text")


async def first(count: int, items: AsyncIterator[Answer]) -> list[Answer]:
    """Returns the first items, at most `count`, and asks for no further page."""
    taken: list[Answer] = []
    async for item in items:
        taken.append(item)
        if len(taken) == count:
            break
    return taken


def uuid(text: str) -> UUID:
    """Returns the id of a trace, or says that it is none and ends."""
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not the id of a trace") from None
