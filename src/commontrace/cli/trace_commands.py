"""Commands that call a server: search, contribute, get."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.output import as_dict, fail, json_line, print_hits, print_trace
from commontrace.core import limits

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


def search(
    text: Annotated[str, typer.Argument(help="A question, an error message, a few words.", show_default=False)] = "",
    *,
    like: Annotated[str | None, typer.Option(metavar="ID", help="Find traces like this one instead.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=limits.SEARCH_HITS, help="How many at most.", metavar="COUNT")
    ] = 5,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Search traces by meaning, most similar first."""
    if bool(text) == (like is not None):
        raise typer.BadParameter("give either a text or --like ID")
    query = text if like is None else _uuid(like)
    hits = _call(address, user, lambda client: client.search(query, limit=limit))
    if not as_json:
        print_hits(hits)
        return
    for hit in hits:
        trace = as_dict(hit.trace)
        json_line({"title": trace.pop("title"), "similarity": round(hit.similarity, 6), **trace})


def contribute(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A JSON file with the fields of CreateTraceRequest; - reads standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    title: Annotated[str, typer.Option(help="What it is about, best in one line.")] = "",
    context: Annotated[str, typer.Option(help="The problem, in Markdown; @FILE reads a file.")] = "",
    solution: Annotated[str, typer.Option(help="What solved it, in Markdown; @FILE reads a file.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    agent_model: Annotated[str, typer.Option(help="The agent's model.")] = "",
    agent_version: Annotated[str, typer.Option(help="The agent's version.")] = "",
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Contribute a trace."""
    fields: dict[str, Any] = {
        "title": title,
        "context": _text(context),
        "solution": _text(solution),
        "tags": tag or [],
        "agent_model": agent_model,
        "agent_version": agent_version,
    }
    if file is not None:
        fields = _read_fields(file) | {name: value for name, value in fields.items() if value}
    for name in ("title", "context", "solution"):
        fields.setdefault(name, "")
    response = _call(address, user, lambda client: client.contribute(**fields))
    if as_json:
        json_line(
            as_dict(response.created) | {"tokens_read": response.tokens_read, "tokens_total": response.tokens_total}
        )
        return
    print(f"stored {response.created.id}")
    if response.tokens_read < response.tokens_total:
        note = (
            f"the model read the first {response.tokens_read} of {response.tokens_total} tokens: put what matters first"
        )
        print(note, file=sys.stderr)


def get(
    trace_id: Annotated[str, typer.Argument(metavar="ID", help="The trace's UUID.", show_default=False)],
    *,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Print one trace."""
    trace = _call(address, user, lambda client: client.get(trace_id))
    if as_json:
        json_line(as_dict(trace))
    else:
        print_trace(trace)


def _call(address: str, user: str | None, ask: Callable[["Client"], Awaitable[Answer]]) -> Answer:
    # gRPC's own lines would stand before ours, and say less. It reads the variable when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from commontrace.client import CallFailed, connect

    if user is not None and not (user.isascii() and user.isprintable()):
        raise typer.BadParameter("--as must be one plain e-mail address, such as ada@example.org")

    async def call() -> Answer:
        async with connect(address, user=user) as client:
            return await ask(client)

    try:
        return asyncio.run(call())
    except CallFailed as error:
        if error.code.name == "UNAVAILABLE" and not error.reason:
            fail(f"no server answers on {address}: start one with `commontrace serve`, or give --address")
        # The message names the first field at fault; the others follow.
        others = list(error.violations.items())[1:]
        fail("\n".join([str(error), *(f"  {field} {problem}" for field, problem in others)]))
    except UnicodeEncodeError:
        fail("what you give must be UTF-8 text")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not the id of a trace") from None


def _text(value: str) -> str:
    return _read(Path(value[1:])) if value.startswith("@") else value


def _read(file: Path) -> str:
    try:
        return (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8 text") from None


def _read_fields(file: Path) -> dict[str, Any]:
    from google.protobuf.json_format import ParseDict, ParseError

    from commontrace.v1 import trace_service_pb2

    try:
        fields = json.loads(_read(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}") from None
    known = set(trace_service_pb2.CreateTraceRequest.DESCRIPTOR.fields_by_name)
    if not isinstance(fields, dict) or not fields.keys() <= known:
        raise typer.BadParameter(
            f"{file} must hold one JSON object with no other fields than {', '.join(sorted(known))}"
        )
    # A string where a list belongs would become a list of its characters.
    try:
        ParseDict(fields, trace_service_pb2.CreateTraceRequest())
    except ParseError as error:
        raise typer.BadParameter(f"{file}: {error}") from None
    return fields
