"""Error rows for the fields of ExportTraces."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from commontrace.rpc.paging.page_tokens import NEWEST_FIRST, OLDEST_FIRST, TokenField
from commontrace.storage.keyset import Cursor
from commontrace.v1 import trace_filter_pb2
from commontrace.v1 import trace_service_pb2 as service_pb
from commontrace.v1.trace_export_pb2 import ExportTracesRequest
from tests.contract.errors.error_row import EXPORT, UNKNOWN_ID, Row, delimited, invalid, malformed
from tests.contract.errors.list_error_rows import filter_rows

_NO_TOKENS = {"a word": "next", "spaces": "   ", "NUL": "\0", "an emoji": "\N{SNAKE}", "a megabyte": "A" * 1_000_000}
_NO_POSITIONS: dict[str, Any] = {
    "nothing": [],
    "a number": 1,
    "null": None,
    "a time alone": [0],
    "a time of text": ["0", UNKNOWN_ID],
    "a time of a fraction": [0.5, UNKNOWN_ID],
    "a time beyond all": [10**30, UNKNOWN_ID],
    "a bad id": [0, "trace"],
    "a number for an id": [0, 1],
    "too much": [0, UNKNOWN_ID, 0],
}
_ANY_POSITION: TokenField[Any] = TokenField(
    name="cursor", may_differ=("batch_size",), pack=lambda position: position, unpack=lambda position: position
)


def export_rows() -> Iterator[Row]:
    yield from filter_rows(EXPORT, lambda having: ExportTracesRequest(filter=having))
    for size in (-(2**31), -1, 501, 2**31 - 1):
        request = ExportTracesRequest(batch_size=size)
        yield invalid(EXPORT, f"batch_size {size}", "FIELD_OUT_OF_RANGE", "batch_size", request)
    yield malformed(EXPORT, "filter cut short", delimited(1, b"\x0a\x05ab"))
    yield malformed(EXPORT, "cursor not UTF-8", b"\x22\x01\xff")
    yield from _cursors()


def _cursors() -> Iterator[Row]:
    def refused(name: str, request: ExportTracesRequest) -> Row:
        return invalid(EXPORT, f"cursor {name}", "INVALID_PAGE_TOKEN", "cursor", request)

    for name, token in _NO_TOKENS.items():
        yield refused(f"of {name}", ExportTracesRequest(cursor=token))
    for name, position in _NO_POSITIONS.items():
        token = _ANY_POSITION.token(ExportTracesRequest(), position)
        yield refused(f"that holds {name}", ExportTracesRequest(cursor=token))
    somewhere = Cursor(datetime(2026, 1, 1, tzinfo=UTC), UUID(UNKNOWN_ID))
    token = OLDEST_FIRST.token(ExportTracesRequest(), somewhere)
    # An empty filter leaves out what others replace; none does not.
    others: dict[str, dict[str, Any]] = {
        "filter": {"filter": trace_filter_pb2.TraceFilter()},
        "include_embeddings": {"include_embeddings": True},
    }
    assert {*others, "batch_size", "cursor"} == set(ExportTracesRequest.DESCRIPTOR.fields_by_name)
    for name, changes in others.items():
        yield refused(f"of a request with another {name}", ExportTracesRequest(cursor=token, **changes))
    of_a_list = NEWEST_FIRST.token(service_pb.ListTracesRequest(), somewhere)
    yield refused("of a list", ExportTracesRequest(cursor=of_a_list))
