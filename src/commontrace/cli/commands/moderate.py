"""Moderation of anybody's traces: hide, unhide, purge (ADR 0031)."""

from typing import TYPE_CHECKING, Annotated

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output.printing import fail, one_line, print_message
from commontrace.cli.runtime.server_calls import Address, As, Json, TraceId, call_about_trace
from commontrace.domain import limits

if TYPE_CHECKING:
    from commontrace.client import Client


def hide(
    trace_id: TraceId,
    reason: Annotated[
        str,
        typer.Argument(
            metavar="REASON", help=f"Why, in {limits.HIDE_REASON_CHARACTERS} characters at most.", show_default=False
        ),
    ],
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Hide anybody's trace; its owner sees why."""
    trace = call_about_trace(trace_id, address, user, lambda client, whole_id: client.hide(whole_id, reason))
    print_message(trace, f"hidden {trace.id}: {one_line(trace.title)}", as_json=as_json)


def unhide(
    trace_id: TraceId,
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Show a hidden trace again."""
    trace = call_about_trace(trace_id, address, user, lambda client, whole_id: client.unhide(whole_id))
    deleted = ", and stays deleted by its owner" if trace.HasField("delete_time") else ""
    print_message(trace, f"no longer hidden{deleted}: {trace.id}", as_json=as_json)


def purge(
    trace_id: TraceId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it: there is no way back.")] = False,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
) -> None:
    """Erase a trace for good, with all that is stored of it."""
    if not yes:
        fail("a purged trace cannot be brought back: add --yes, or `commontrace hide` it")

    async def ask(client: "Client", whole_id: str) -> str:
        await client.purge(whole_id)
        return whole_id

    print(f"purged {call_about_trace(trace_id, address, user, ask)}")
