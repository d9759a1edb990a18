"""Live events of traces: watch (ADR 0019)."""

import shlex
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output.enum_labels import event_label, namespace_label
from commontrace.cli.output.printing import format_second, join_facts, message_to_dict, one_line, print_json, print_note
from commontrace.cli.runtime.filters import Namespaces
from commontrace.cli.runtime.server_calls import Address, As, Json, call_server

if TYPE_CHECKING:
    from commontrace.client import Client, WatchStream
    from commontrace.v1 import trace_event_pb2

_MAX_BATCH_EVENTS = 100


def watch(
    *,
    since: Annotated[
        str, typer.Option(metavar="TOKEN", help="Go on where an earlier watch ended.", show_default=False)
    ] = "",
    namespace: Namespaces = None,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Print what happens to traces, as it happens; Ctrl-C ends it."""
    # No hint to go on before the server has accepted the token.
    resume_token = ""

    async def follow(client: "Client") -> None:
        nonlocal resume_token
        async with client.watch(since, namespaces=namespace or ()) as stream:
            resume_token = stream.resume_token
            print_note("watching; Ctrl-C ends it")
            async with aclosing(_batches(stream)) as batches:
                async for events in batches:
                    if as_json:
                        for event in events:
                            print_json(message_to_dict(event))
                    else:
                        _print(events, await _titles(events, client))
                    sys.stdout.flush()
                    resume_token = events[-1].resume_token

    try:
        call_server(address, user, follow)
    finally:
        if resume_token:
            # A token is a position alone: without the filter, the events of all namespaces would follow.
            filters = [f"--namespace {shlex.quote(name)}" for name in namespace or ()]
            print_note(" ".join(("go on with: commontrace watch", *filters, f"--since {resume_token}")))


async def _batches(stream: "WatchStream") -> "AsyncGenerator[list[trace_event_pb2.TraceEvent]]":
    """Yields the events that arrived since the last batch; the stream waits while a full batch is not taken."""
    import asyncio

    arrived: asyncio.Queue[trace_event_pb2.TraceEvent | None] = asyncio.Queue(_MAX_BATCH_EVENTS)

    async def receive() -> None:
        try:
            async for event in stream:
                await arrived.put(event)
        except Exception:
            await arrived.put(None)
            raise

    receiving = asyncio.create_task(receive())
    try:
        while True:
            batch = [await arrived.get()]
            while not arrived.empty():
                batch.append(arrived.get_nowait())
            if events := [event for event in batch if event is not None]:
                yield events
            if batch[-1] is None:
                await receiving
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


async def _titles(events: "Sequence[trace_event_pb2.TraceEvent]", client: "Client") -> list[str]:
    """Returns the current title of each event's trace; "" for a deleted trace, and for all where the call fails."""
    from commontrace.client import CallFailed

    try:
        traces = await client.get_many([event.trace_id for event in events], full=False)
    except CallFailed:
        return [""] * len(events)
    return ["" if trace is None else one_line(trace.title) for trace in traces]


def _print(events: "Sequence[trace_event_pb2.TraceEvent]", titles: Sequence[str]) -> None:
    from commontrace.cli.output.console import print_entry, standard_output

    console = standard_output()
    for event, title in zip(events, titles, strict=True):
        # The namespace before the id, because a title could pretend to be one.
        facts = (f"{event_label(event):10}", namespace_label(event.namespace), event.trace_id, title)
        print_entry(console, join_facts(format_second(event.event_time), *facts))
