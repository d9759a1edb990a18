"""Ids as people type them: whole UUIDs, or unique prefixes of them (ADR 0052).

The contract takes whole ids only. To resolve a prefix, a command lists all traces, 500 a call, and compares ids.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

import typer

from commontrace.domain import limits

if TYPE_CHECKING:
    from commontrace.client import Client
    from commontrace.v1 import trace_pb2

_DIGITS = 32
MIN_DIGITS = 4
"""Among 500 traces, fewer than 1% share these digits with another one."""


class UnknownId(Exception):
    """An id prefix without a match; the message names the traces that were searched."""


def parse_uuid(text: str, problem: str) -> UUID:
    """Returns a UUID from its text. Raises typer.BadParameter with `problem` where the text is none."""
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(problem) from None


def prefix_digits(given: str) -> str | None:
    """Returns the hexadecimal digits of an id's prefix, without hyphens; None for a whole id or any other text.

    Raises typer.BadParameter for a prefix of fewer than MIN_DIGITS digits.
    """
    digits = given.replace("-", "").lower()
    if not re.fullmatch("[0-9a-f]+", digits) or len(digits) >= _DIGITS:
        return None
    if len(digits) < MIN_DIGITS:
        raise typer.BadParameter(f"{given!r} is too short: give an id, or {MIN_DIGITS} digits of its beginning")
    return digits


async def resolve_trace_id(given: str, client: "Client", *, deleted: bool = False) -> str:
    """Returns the id of the one trace with that id or prefix; with `deleted`, among the caller's own, deleted ones too.

    Text that is no prefix comes back as it is, for the server to refuse. Raises UnknownId where no id has the prefix,
    typer.BadParameter where several do.
    """
    return await _resolve(given, client, lambda trace: trace.id, deleted=deleted)


async def resolve_contributor_id(given: str, client: "Client") -> str:
    """Returns the id of the one contributor with that id or prefix, in the same way."""
    return await _resolve(given, client, lambda trace: trace.contributor_id, deleted=False)


async def _resolve(given: str, client: "Client", id_of: "Callable[[trace_pb2.Trace], str]", *, deleted: bool) -> str:
    from commontrace.client import TraceFilter

    digits = prefix_digits(given)
    if digits is None:
        return _hyphened(given)
    found = ""
    all_traces = TraceFilter(include_superseded=True)
    async for trace in client.list(all_traces, show_deleted=deleted, page_size=limits.PAGE_ITEMS):
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


def _hyphened(given: str) -> str:
    """Returns a whole id as the contract spells it, and anything else as it is."""
    return str(UUID(given)) if re.fullmatch(f"[0-9a-fA-F]{{{_DIGITS}}}", given) else given
