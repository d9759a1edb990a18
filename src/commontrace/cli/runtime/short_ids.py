"""Short ids: what an id begins with, as people type it, in place of the whole one (ADR 0052).

The contract knows whole ids alone. So all ids are listed, 500 traces a call, until one is sure to be meant.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from commontrace.domain import limits

if TYPE_CHECKING:
    from commontrace.client import Client
    from commontrace.v1 import trace_pb2

_DIGITS = 32
MIN_DIGITS = 4
"""Of 500 traces, one more than that is rarely needed."""


class UnknownId(Exception):
    """No id begins like that; the message says where it was looked for."""


def prefix_digits(given: str) -> str | None:
    """Returns the digits of what an id begins with, hyphens or not; None where no id does, or all of it is there."""
    digits = given.replace("-", "").lower()
    if not re.fullmatch("[0-9a-f]+", digits) or len(digits) >= _DIGITS:
        return None
    if len(digits) < MIN_DIGITS:
        raise typer.BadParameter(f"{given!r} is too short: give an id, or {MIN_DIGITS} digits of its beginning")
    return digits


async def resolve_trace_id(given: str, client: "Client", *, deleted: bool = False) -> str:
    """Returns the id of the one trace that is meant, with `deleted` one of the caller's own.

    What cannot begin an id is returned as it is, for the server to refuse. Raises UnknownId, typer.BadParameter.
    """
    return await _whole(given, client, lambda trace: trace.id, deleted=deleted)


async def resolve_contributor_id(given: str, client: "Client") -> str:
    """Returns the id of the one contributor that is meant, in the same way."""
    return await _whole(given, client, lambda trace: trace.contributor_id, deleted=False)


async def _whole(given: str, client: "Client", id_of: "Callable[[trace_pb2.Trace], str]", *, deleted: bool) -> str:
    from commontrace.client import TraceFilter

    digits = prefix_digits(given)
    if digits is None:
        return given
    found = ""
    everything = TraceFilter(include_superseded=True)
    async for trace in client.list(everything, show_deleted=deleted, page_size=limits.PAGE_ITEMS):
        whole = id_of(trace)
        if whole == found or not whole.replace("-", "").startswith(digits):
            continue
        if found:
            raise typer.BadParameter(f"{given!r} begins several ids, such as {found} and {whole}: give more of it")
        found = whole
    if not found:
        where = "of yours" if deleted else "that can be listed: one that is deleted needs its whole id"
        raise UnknownId(f"no id begins with {given!r}, of no trace {where}")
    return found
