"""How a command calls a server, and the options of every command that does."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from commontrace.cli import exit_codes
from commontrace.cli.output.printing import fail
from commontrace.cli.runtime.short_ids import MIN_DIGITS, UnknownId, resolve_trace_id
from commontrace.cli.runtime.tls_options import tls_from_options

if TYPE_CHECKING:
    from commontrace.client import CallFailed, Client, Tls

Answer = TypeVar("Answer")

Address = Annotated[
    str, typer.Option("--address", envvar="COMMONTRACE_ADDRESS", metavar="HOST:PORT", help="Where the server is.")
]
As = Annotated[
    str | None,
    typer.Option("--as", envvar="COMMONTRACE_USER", metavar="EMAIL", help="Who is calling.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
TraceId = Annotated[
    str,
    typer.Argument(
        metavar="ID", help=f"The trace's UUID, or its first {MIN_DIGITS} digits or more.", show_default=False
    ),
]
Etag = Annotated[
    str | None, typer.Option(metavar="ETAG", help="The trace's etag as last read: refuses if it was edited since.")
]


def call_server(address: str, user: str | None, ask: Callable[["Client"], Awaitable[Answer]]) -> Answer:
    """Returns what the server answers, or says why it does not and ends."""
    import asyncio

    silence_grpc()
    from commontrace.client import CallFailed, CallOptions, connect

    key = environment_key()
    tls = checked_tls()
    try:
        CallOptions(address=address, user=user, key=key)
    except ValueError as error:
        raise typer.BadParameter(f"--{error}".replace("--user", "--as").replace("--key", "COMMONTRACE_KEY")) from None

    async def asked() -> Answer:
        async with connect(address, user=user, key=key, tls=tls or False) as client:
            return await ask(client)

    try:
        return asyncio.run(asked())
    except CallFailed as error:
        fail(_explained(error, address), exit_code_of(error), reason=error.reason)
    except UnknownId as error:
        fail(str(error), exit_codes.NOT_FOUND)
    except UnicodeEncodeError:
        fail("what you give must be UTF-8 text")


def call_about_trace(
    trace_id: str,
    address: str,
    user: str | None,
    ask: Callable[["Client", str], Awaitable[Answer]],
    *,
    deleted: bool = False,
) -> Answer:
    """Returns what the server answers about a trace whose id may be short; with `deleted`, one of the caller's."""

    async def asked(client: "Client") -> Answer:
        return await ask(client, await resolve_trace_id(trace_id, client, deleted=deleted))

    return call_server(address, user, asked)


def environment_key() -> str | None:
    """Returns the API key to call with. No option takes one: other users of the machine can read command lines."""
    return os.environ.get("COMMONTRACE_KEY") or None


def checked_tls() -> "Tls | None":
    """Returns how to speak TLS, None where it was not asked for, or says which file cannot be used and ends."""
    tls = tls_from_options()
    try:
        if tls is not None:
            tls.credentials()
    except ValueError as error:
        fail(f"TLS: {error}")
    return tls


def silence_grpc() -> None:
    """Keeps gRPC's own lines, which say less, from standing before ours. It reads the variable when it is imported."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def exit_code_of(error: "CallFailed") -> int:
    """Returns what a command ends with whose call failed."""
    from commontrace.client import TlsFailed

    if isinstance(error, TlsFailed) and error.is_certain:
        return exit_codes.FAILED
    return exit_codes.exit_code_of_call(error.code.name, error.reason)


def _explained(error: "CallFailed", address: str) -> str:
    """Returns what a failed call means to whoever made it."""
    from commontrace.client import TlsFailed
    from commontrace.client.proxies import way_to

    if isinstance(error, TlsFailed):
        return str(error)
    if not error.reason and error.code.name == "UNAVAILABLE":
        return f"no server answers on {address}{way_to(address)}: start one with `commontrace serve`, or give --address"
    if not error.reason and error.code.name == "DEADLINE_EXCEEDED":
        return f"the server on {address}{way_to(address)} did not answer in time: try again"
    if error.reason == "KEY_REQUIRED":
        return f"{error.reason}: the server on {address} asks for an API key: set COMMONTRACE_KEY to yours"
    when = "" if error.retry_after is None else f": try again in {error.retry_after:g} s"
    # The message names the first field at fault; the others follow.
    others = list(error.violations.items())[1:]
    return "\n".join([f"{error}{when}", *(f"  {field} {problem}" for field, problem in others)])


async def take_first(count: int, items: AsyncIterator[Answer]) -> list[Answer]:
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
