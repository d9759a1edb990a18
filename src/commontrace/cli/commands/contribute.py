"""Writes of a contributor's own traces: contribute, update, delete, undelete."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output.enum_labels import OnDuplicate, is_encoding_pending, namespace_label
from commontrace.cli.output.printing import (
    join_facts,
    message_to_dict,
    one_line,
    print_json,
    print_message,
    print_note,
)
from commontrace.cli.runtime.input_files import read_contribution, read_texts
from commontrace.cli.runtime.namespaces import Target, require_one_name
from commontrace.cli.runtime.server_calls import Address, As, Etag, Json, TraceId, call_about_trace, call_server
from commontrace.cli.runtime.short_ids import resolve_trace_id

if TYPE_CHECKING:
    from commontrace.client import Client
    from commontrace.v1 import trace_pb2, trace_service_pb2

OnDuplicateOption = Annotated[
    OnDuplicate,
    typer.Option(help="What to do if a trace with the same content is there already."),
]

# The same syntax as curl's --data.
_FROM_FILES = "; @FILE reads a file, - standard input, @@ begins with an @."


def contribute(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="A JSON file with title, context, solution, tags, agent_model, agent_version, metadata; - reads"
            " standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    title: Annotated[str, typer.Option(metavar="TEXT", help="What it is about, best in one line.")] = "",
    context: Annotated[str, typer.Option(metavar="TEXT", help=f"The problem, in Markdown{_FROM_FILES}")] = "",
    solution: Annotated[str, typer.Option(metavar="TEXT", help=f"What solved it, in Markdown{_FROM_FILES}")] = "",
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A tag; may be repeated.")] = None,
    agent_model: Annotated[str, typer.Option(metavar="NAME", help="The agent's model.")] = "",
    agent_version: Annotated[str, typer.Option(metavar="VERSION", help="The agent's version.")] = "",
    supersedes: Annotated[str, typer.Option(metavar="ID", help="Your trace that this one replaces.")] = "",
    on_duplicate: OnDuplicateOption = "return_existing",
    namespace: Target = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and store nothing.")] = False,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Store what was learned: a problem and its solution."""
    options: dict[str, Any] = {
        "title": title,
        **read_texts(file, context=context, solution=solution),
        "tags": tag or [],
        "agent_model": agent_model,
        "agent_version": agent_version,
    }
    fields = {"title": "", "context": "", "solution": ""} | (read_contribution(file) if file is not None else {})
    fields |= {name: value for name, value in options.items() if value}
    target = require_one_name(namespace)

    async def ask(client: "Client") -> "trace_service_pb2.CreateTraceResponse":
        replaced_id = await resolve_trace_id(supersedes, client) if supersedes else ""
        return await client.contribute(
            **fields, supersedes=replaced_id, on_duplicate=on_duplicate, validate_only=dry_run, namespace=target
        )

    response = call_server(address, user, ask)
    if as_json:
        _print_json(response)
    elif response.HasField("existing"):
        print(join_facts(f"already there: {response.existing.id}", namespace_label(response.existing.namespace)))
    else:
        done = "would be stored" if dry_run else f"stored {response.created.id}"
        print(join_facts(done, namespace_label(response.created.namespace)))
        _note_what_was_read(response.created, response.tokens_read, response.tokens_total)
        for other in response.similar:
            print_note(f"similar ({other.similarity:.3f}): {other.trace_id}  {one_line(other.title)}")


def update(
    trace_id: TraceId,
    *,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is about.")] = None,
    context: Annotated[str | None, typer.Option(metavar="TEXT", help=f"The problem{_FROM_FILES}")] = None,
    solution: Annotated[str | None, typer.Option(metavar="TEXT", help=f"What solved it{_FROM_FILES}")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="A tag; may be repeated, and replaces all.")
    ] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Take all tags away.")] = False,
    agent_model: Annotated[str | None, typer.Option(metavar="NAME", help="The agent's model.")] = None,
    agent_version: Annotated[str | None, typer.Option(metavar="VERSION", help="The agent's version.")] = None,
    etag: Etag = None,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Change a trace of yours: only what is given."""
    if tag and no_tags:
        raise typer.BadParameter("give either --tag or --no-tags")
    changes: dict[str, Any] = {
        "title": title,
        **read_texts(context=context, solution=solution),
        "tags": [] if no_tags else tag or None,
        "agent_model": agent_model,
        "agent_version": agent_version,
    }
    if all(value is None for value in changes.values()):
        raise typer.BadParameter("say what to change, such as --title")
    response = call_about_trace(
        trace_id, address, user, lambda client, whole_id: client.update(whole_id, **changes, etag=etag)
    )
    if as_json:
        print_json(_read(response) | message_to_dict(response.trace))
    elif response.tokens_total or (
        is_encoding_pending(response.trace)
        and any(changes[name] is not None for name in ("title", "context", "solution"))
    ):
        print(f"revision {response.trace.revision}, pending again: votes count for the text they were cast on")
        _note_what_was_read(response.trace, response.tokens_read, response.tokens_total)
    else:
        print("updated")


def delete(
    trace_id: TraceId,
    *,
    etag: Etag = None,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Delete a trace of yours."""
    trace = call_about_trace(trace_id, address, user, lambda client, whole_id: client.delete(whole_id, etag=etag))
    print_message(trace, f"deleted {trace.id}: undelete brings it back", as_json=as_json)


def undelete(
    trace_id: TraceId,
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Bring back a trace of yours that was deleted."""
    trace = call_about_trace(trace_id, address, user, lambda client, whole_id: client.undelete(whole_id), deleted=True)
    print_message(trace, f"back again: {trace.id}", as_json=as_json)


def _print_json(response: "trace_service_pb2.CreateTraceResponse") -> None:
    outcome = response.WhichOneof("outcome")
    trace = response.existing if outcome == "existing" else response.created
    similar = [message_to_dict(other) for other in response.similar]
    print_json({"outcome": outcome, **message_to_dict(trace), **_read(response), "similar": similar})


def _read(
    response: "trace_service_pb2.CreateTraceResponse | trace_service_pb2.UpdateTraceResponse",
) -> dict[str, Any]:
    return {"tokens_read": response.tokens_read, "tokens_total": response.tokens_total}


def _note_what_was_read(trace: "trace_pb2.Trace", read: int, total: int) -> None:
    if is_encoding_pending(trace):
        print_note("it waits for its vector, because text cannot be encoded now: no search finds it until it can")
    if read < total:
        print_note(f"the model read the first {read} of {total} tokens: put what matters first")
