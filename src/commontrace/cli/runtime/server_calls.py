"""Calls of a server by a command: options of all remote commands, and failures as messages and exit codes."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

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
    """Connects, runs `ask` and returns its result; a failed call ends the command with its message and exit code."""
    import asyncio

    silence_grpc()
    from commontrace.client import CallFailed, CallOptions, connect

    key = environment_key()
    tls = checked_tls()
    try:
        CallOptions(address=address, user=user, key=key)
    except ValueError as error:
        raise typer.BadParameter(f"--{error}".replace("--user", "--as").replace("--key", "COMMONTRACE_KEY")) from None

    async def connect_and_ask() -> Answer:
        async with connect(address, user=user, key=key, tls=tls or False) as client:
            return await ask(client)

    try:
        return asyncio.run(connect_and_ask())
    except CallFailed as error:
        fail(_failure_message(error, address), exit_code_of(error), reason=error.reason)
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
    """Does the same for a trace: resolves its id, which may be a prefix, and passes it to `ask`.

    With `deleted`, a prefix is looked up among the caller's own traces, deleted ones too.
    """

    async def resolve_and_ask(client: "Client") -> Answer:
        return await ask(client, await resolve_trace_id(trace_id, client, deleted=deleted))

    return call_server(address, user, resolve_and_ask)


def environment_key() -> str | None:
    """Returns the API key of COMMONTRACE_KEY, None without one.

    No option takes a key, because other users of the machine can read command lines.
    """
    return os.environ.get("COMMONTRACE_KEY") or None


def checked_tls() -> "Tls | None":
    """Returns the TLS options, None without TLS; ends the command where one of their files cannot be used."""
    tls = tls_from_options()
    try:
        if tls is not None:
            tls.credentials()
    except ValueError as error:
        fail(f"TLS: {error}")
    return tls


def silence_grpc() -> None:
    """Turns off gRPC's own log lines, which would precede the command's message. Has to run before grpc is imported."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def exit_code_of(error: "CallFailed") -> int:
    """Returns the exit code of a command whose call failed."""
    from commontrace.client import TlsFailed

    if isinstance(error, TlsFailed) and error.is_certain:
        return exit_codes.FAILED
    return exit_codes.exit_code_of_call(error.code.name, error.reason)


def _failure_message(error: "CallFailed", address: str) -> str:
    """Returns the message for a failed call, with what the user can do about it."""
    from commontrace.client import TlsFailed
    from commontrace.client.proxies import proxy_hint

    if isinstance(error, TlsFailed):
        return str(error)
    where = f"{address}{proxy_hint(address)}"
    if not error.reason and error.code.name == "UNAVAILABLE":
        return f"no server answers on {where}: start one with `commontrace serve`, or give --address"
    if not error.reason and error.code.name == "DEADLINE_EXCEEDED":
        return f"the server on {where} did not answer in time: try again"
    if not error.reason and error.code.name == "UNIMPLEMENTED":
        return f"the server on {where} is too old for this command: it does not know the call"
    if error.reason == "KEY_REQUIRED":
        return f"{error.reason}: the server on {address} asks for an API key: set COMMONTRACE_KEY to yours"
    retry_advice = "" if error.retry_after is None else f": try again in {error.retry_after:g} s"
    # The message already names the first violation.
    others = list(error.violations.items())[1:]
    return "\n".join([f"{error}{retry_advice}", *(f"  {field} {problem}" for field, problem in others)])


async def take_first(count: int, items: AsyncIterator[Answer]) -> list[Answer]:
    """Returns the first items, at most `count`, and fetches no page beyond them."""
    taken: list[Answer] = []
    async for item in items:
        taken.append(item)
        if len(taken) == count:
            break
    return taken
