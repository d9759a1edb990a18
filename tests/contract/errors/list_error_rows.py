"""Error rows for the fields of the calls that read many traces."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from commontrace.domain import limits
from commontrace.rpc.paging.page_tokens import BY_REVISION, NEWEST_FIRST
from commontrace.storage.keyset import Cursor
from commontrace.v1 import trace_filter_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.contract.errors.error_row import (
    BATCH_GET,
    LIST,
    NO_IDS,
    REVISIONS,
    UNKNOWN_ID,
    Code,
    Row,
    delimited,
    invalid,
    lists,
    malformed,
    objects,
)

_UNKNOWN_NUMBERS = (-(2**31), -1, 3, 2**31 - 1)
_NO_TOKENS = {"a word": "next", "spaces": "   ", "NUL": "\0", "an emoji": "\N{SNAKE}", "a megabyte": "A" * 1_000_000}


def list_rows() -> Iterator[Row]:
    yield from _batch_get_rows()
    yield from _list_rows()
    yield from _revisions_rows()


def filter_rows(rpc: str, having: Callable[[trace_filter_pb2.TraceFilter], Message]) -> Iterator[Row]:
    """How a call fails because of its filter."""

    def bad(name: str, reason: str, field: str, **fields: Any) -> Row:
        return invalid(rpc, name, reason, f"filter.{field}", having(trace_filter_pb2.TraceFilter(**fields)))

    too_many = limits.FILTER_VALUES + 1
    for field in ("tags_all", "tags_any", "tags_none"):
        yield bad(f"{field} with a bad tag", "INVALID_TAG", f"{field}[1]", **{field: ["fine", "?"]})
        yield bad(f"too many {field}", "FIELD_TOO_LONG", field, **{field: ["a"] * too_many})
    yield bad("no status", "FIELD_REQUIRED", "statuses[1]", statuses=[1, 0])
    for number in _UNKNOWN_NUMBERS:
        yield bad(f"status {number}", "UNKNOWN_ENUM_VALUE", "statuses[0]", statuses=[number])
    yield bad("too many statuses", "FIELD_TOO_LONG", "statuses", statuses=[1] * too_many)
    long_model = "é" * (limits.AGENT_MODEL_CHARACTERS + 1)
    yield bad("long agent model", "FIELD_TOO_LONG", "agent_models[1]", agent_models=["a", long_model])
    yield bad("NUL in an agent model", "FORBIDDEN_CHARACTER", "agent_models[0]", agent_models=["a\0"])
    yield bad("too many agent models", "FIELD_TOO_LONG", "agent_models", agent_models=["a"] * too_many)
    yield bad("no contributor", "FIELD_REQUIRED", "contributor_ids[0]", contributor_ids=[""])
    for name, value in NO_IDS.items():
        yield bad(f"contributor with {name}", "MALFORMED_ID", "contributor_ids[1]", contributor_ids=[UNKNOWN_ID, value])
    yield bad("too many contributors", "FIELD_TOO_LONG", "contributor_ids", contributor_ids=[UNKNOWN_ID] * too_many)
    for field in ("create_time_from", "create_time_before"):
        for seconds in (-(2**63), -62_135_596_801, 253_402_300_800, 2**63 - 1):
            time = Timestamp(seconds=seconds)
            yield bad(f"{field} {seconds} s", "FIELD_OUT_OF_RANGE", f"{field}.seconds", **{field: time})
        for nanos in (-(2**31), -1, 10**9, 2**31 - 1):
            time = Timestamp(nanos=nanos)
            yield bad(f"{field} {nanos} ns", "FIELD_OUT_OF_RANGE", f"{field}.nanos", **{field: time})
    for name, metadata in {"objects": objects(17), "lists": lists(17)}.items():
        yield bad(f"metadata of {name} too deep", "FIELD_TOO_LONG", "metadata", metadata=metadata)
    too_many_values: dict[str, Struct] = {
        "in a list": _struct(k=[1] * limits.FILTER_VALUES),
        "in lists of lists": _struct(k=[[1]] * (limits.FILTER_VALUES // 2)),
        "in objects of a list": _struct(k=[{"l": 1}] * (limits.FILTER_VALUES // 2)),
        "of an object": _struct(**{f"k{number}": None for number in range(too_many)}),
    }
    for name, metadata in too_many_values.items():
        yield bad(f"too many values {name}", "FIELD_TOO_LONG", "metadata", metadata=metadata)
    yield bad("long metadata", "FIELD_TOO_LONG", "metadata", metadata=_struct(k="x" * limits.METADATA_BYTES))
    yield bad("NUL in metadata", "FORBIDDEN_CHARACTER", "metadata", metadata=_struct(k=["a\0"]))
    yield bad("NaN in metadata", "INVALID_METADATA", "metadata", metadata=_struct(k=float("nan")))


def _batch_get_rows() -> Iterator[Row]:
    yield invalid(BATCH_GET, "no ids", "FIELD_REQUIRED", "trace_ids", pb.BatchGetTracesRequest())
    too_many = pb.BatchGetTracesRequest(trace_ids=[UNKNOWN_ID] * (limits.BATCH_GET_TRACES + 1))
    yield invalid(BATCH_GET, "too many ids", "FIELD_TOO_LONG", "trace_ids", too_many)
    nameless = pb.BatchGetTracesRequest(trace_ids=[UNKNOWN_ID, ""])
    yield invalid(BATCH_GET, "empty id", "FIELD_REQUIRED", "trace_ids[1]", nameless)
    for name, value in NO_IDS.items():
        bad = pb.BatchGetTracesRequest(trace_ids=[UNKNOWN_ID, UNKNOWN_ID, value])
        yield invalid(BATCH_GET, f"id with {name}", "MALFORMED_ID", "trace_ids[2]", bad)
    yield from _views(BATCH_GET, lambda view: pb.BatchGetTracesRequest(trace_ids=[UNKNOWN_ID], view=view))
    yield malformed(BATCH_GET, "id not UTF-8", b"\x0a\x01\xff")


def _list_rows() -> Iterator[Row]:
    yield from filter_rows(LIST, lambda having: pb.ListTracesRequest(filter=having))
    yield from _views(LIST, lambda view: pb.ListTracesRequest(view=view))
    yield from _pages(LIST, pb.ListTracesRequest())
    position = Cursor(datetime(2026, 1, 1, tzinfo=UTC), UUID(UNKNOWN_ID))
    token = NEWEST_FIRST.token(pb.ListTracesRequest(), position)
    filtered = pb.ListTracesRequest(filter=trace_filter_pb2.TraceFilter(tags_any=["a"]))
    others: dict[str, Any] = {
        "filter": pb.ListTracesRequest(filter=filtered.filter, page_token=token),
        "view": pb.ListTracesRequest(view=2, page_token=token),  # type: ignore[arg-type] # FULL
        "show_deleted": pb.ListTracesRequest(show_deleted=True, page_token=token),
        "type": pb.ListTracesRequest(page_token=BY_REVISION.token(pb.ListTraceRevisionsRequest(), 1)),
    }
    for name, request in others.items():
        yield invalid(LIST, f"token of a request of another {name}", "INVALID_PAGE_TOKEN", "page_token", request)
    yield malformed(LIST, "token not UTF-8", b"\x2a\x01\xff")
    yield malformed(LIST, "filter cut short", delimited(1, b"\x0a\x05ab"))


def _revisions_rows() -> Iterator[Row]:
    yield invalid(REVISIONS, "no id", "FIELD_REQUIRED", "trace_id", pb.ListTraceRevisionsRequest())
    for name, value in NO_IDS.items():
        bad = pb.ListTraceRevisionsRequest(trace_id=value)
        yield invalid(REVISIONS, f"id with {name}", "MALFORMED_ID", "trace_id", bad)
    valid = pb.ListTraceRevisionsRequest(trace_id=UNKNOWN_ID)
    yield from _views(REVISIONS, lambda view: pb.ListTraceRevisionsRequest(trace_id=UNKNOWN_ID, view=view))
    yield from _pages(REVISIONS, valid)
    other = pb.ListTraceRevisionsRequest(trace_id=UNKNOWN_ID[::-1])
    foreign = pb.ListTraceRevisionsRequest(trace_id=UNKNOWN_ID, page_token=BY_REVISION.token(other, 1))
    yield invalid(REVISIONS, "token of another trace", "INVALID_PAGE_TOKEN", "page_token", foreign)
    not_found = Row(name="unknown id", rpc=REVISIONS, request=valid, code=Code.NOT_FOUND, reason="TRACE_NOT_FOUND")
    yield not_found
    yield malformed(REVISIONS, "id not UTF-8", b"\x0a\x01\xff")


def _views(rpc: str, having: Callable[[Any], Message]) -> Iterator[Row]:
    for view in _UNKNOWN_NUMBERS:
        yield invalid(rpc, f"view {view}", "UNKNOWN_ENUM_VALUE", "view", having(view))


def _pages(rpc: str, valid: Any) -> Iterator[Row]:
    def changed(**fields: Any) -> Message:
        request: Message = type(valid)(**fields)
        request.MergeFrom(valid)
        return request

    for size in (-1, -(2**31)):
        yield invalid(rpc, f"page_size {size}", "FIELD_OUT_OF_RANGE", "page_size", changed(page_size=size))
    for name, token in _NO_TOKENS.items():
        yield invalid(rpc, f"token of {name}", "INVALID_PAGE_TOKEN", "page_token", changed(page_token=token))


def _struct(**values: Any) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct
