"""The effort of a call, estimated from its request."""

from typing import Any

from commontrace.domain import limits

MOST = 50
"""What more than that costs is bounded by the size of an answer."""

# What takes about as long to read and check as a trace to find and send.
_BYTES = 2_048
_DEFAULTS = {
    "limit": limits.SEARCH_HITS_DEFAULT,
    "page_size": limits.PAGE_ITEMS_DEFAULT,
    "batch_size": limits.EXPORT_TRACES_DEFAULT,
}


def traces_asked_for(request: Any) -> int:
    """Returns how many traces, or other things, the answer to a valid request may hold; of an export, a message."""
    fields = request.DESCRIPTOR.fields_by_name
    # In this order: the batches of a search are parts of it.
    for field, default in _DEFAULTS.items():
        if field in fields:
            return int(getattr(request, field)) or default
    return len(request.trace_ids) if "trace_ids" in fields else 1


def effort_of(request: Any) -> int:
    """Returns the effort of a call, from 1 to `MOST`: one for each trace it asks for and for each 2 KiB it brings."""
    return min(MOST, traces_asked_for(request) + int(request.ByteSize()) // _BYTES)
