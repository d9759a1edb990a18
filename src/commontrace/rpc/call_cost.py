"""Cost of a call, estimated from its request: the unit in which users share a server (ADR 0042)."""

from typing import Any

from commontrace.domain import limits

MAX_COST = 50
"""The cost of the most expensive calls: what they take beyond it is bounded by the size of a response."""

# Bytes that take as long to read and check as one trace takes to find and send.
_BYTES_PER_TRACE = 2_048
_DEFAULTS = {
    "limit": limits.SEARCH_HITS_DEFAULT,
    "page_size": limits.PAGE_ITEMS_DEFAULT,
    "batch_size": limits.EXPORT_TRACES_DEFAULT,
}


def traces_asked_for(request: Any) -> int:
    """Returns how many traces, or other items, the answer may hold; for an export, each message of it."""
    fields = request.DESCRIPTOR.fields_by_name
    # In this order: the batches of a search are parts of its limit.
    for field, default in _DEFAULTS.items():
        if field in fields:
            return int(getattr(request, field)) or default
    return len(request.trace_ids) if "trace_ids" in fields else 1


def cost_of(request: Any) -> int:
    """Returns the cost of a valid request, 1..MAX_COST: 1 for each trace it asks for and for each 2 KiB it brings."""
    return min(MAX_COST, traces_asked_for(request) + int(request.ByteSize()) // _BYTES_PER_TRACE)
