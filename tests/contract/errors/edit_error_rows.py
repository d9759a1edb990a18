"""Error rows for the fields of the calls that change a trace."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct

from commontrace.domain import limits
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.contract.errors.error_row import (
    CREATE,
    DELETE,
    HIDE,
    NO_IDS,
    PROMOTE,
    PURGE,
    UNDELETE,
    UNHIDE,
    UNKNOWN_ID,
    UPDATE,
    Code,
    Row,
    invalid,
    malformed,
)

_PATHS = ("id", "status", "trust_score", "revision", "etag", "create_time", "Title", "title.x", "*", "", "é" * 1000)


_OF_ONE_TRACE: dict[str, Callable[..., Any]] = {
    DELETE: pb.DeleteTraceRequest,
    UNDELETE: pb.UndeleteTraceRequest,
    HIDE: partial(pb.HideTraceRequest, reason="a"),
    UNHIDE: pb.UnhideTraceRequest,
    PURGE: pb.PurgeTraceRequest,
    PROMOTE: partial(pb.PromoteTraceRequest, to_namespace="commons"),
}


def edit_rows() -> Iterator[Row]:
    yield from _create_rows()
    yield from _update_rows()
    for rpc, request in _OF_ONE_TRACE.items():
        yield invalid(rpc, "no id", "FIELD_REQUIRED", "trace_id", request())
        for name, value in NO_IDS.items():
            yield invalid(rpc, f"id with {name}", "MALFORMED_ID", "trace_id", request(trace_id=value))
            bad = request(trace_id=UNKNOWN_ID, request_id=value)
            yield invalid(rpc, f"request id with {name}", "MALFORMED_ID", "request_id", bad)
        yield _not_found(rpc, request(trace_id=UNKNOWN_ID))
        yield malformed(rpc, "id not UTF-8", b"\x0a\x01\xff")
    yield from _hide_rows()
    long = pb.DeleteTraceRequest(trace_id=UNKNOWN_ID, etag="e" * (limits.ETAG_CHARACTERS + 1))
    yield invalid(DELETE, "etag too long", "FIELD_TOO_LONG", "etag", long)


def _hide_rows() -> Iterator[Row]:
    reasons = {
        "no reason": ("", "FIELD_REQUIRED"),
        "a blank reason": (" \n", "FIELD_REQUIRED"),
        "a reason that nobody sees": ("\u200b\u2060", "FIELD_REQUIRED"),
        "a reason too long": ("é" * (limits.HIDE_REASON_CHARACTERS + 1), "FIELD_TOO_LONG"),
        "a reason with NUL": ("a\0", "FORBIDDEN_CHARACTER"),
    }
    for name, (reason, refusal) in reasons.items():
        yield invalid(HIDE, name, refusal, "reason", pb.HideTraceRequest(trace_id=UNKNOWN_ID, reason=reason))


def _create_rows() -> Iterator[Row]:
    def create(**changes: Any) -> pb.CreateTraceRequest:
        return pb.CreateTraceRequest(title="a", context="b", solution="c", **changes)

    for number in (-1, 4, 2**31 - 1):
        unknown = create(on_duplicate=number)
        yield invalid(CREATE, f"on_duplicate {number}", "UNKNOWN_ENUM_VALUE", "on_duplicate", unknown)
    for field in ("supersedes_trace_id", "request_id"):
        for name, value in NO_IDS.items():
            yield invalid(CREATE, f"{field} with {name}", "MALFORMED_ID", field, create(**{field: value}))
    yield _not_found(CREATE, create(supersedes_trace_id=UNKNOWN_ID))


def _update_rows() -> Iterator[Row]:
    def update(*paths: str, trace_id: str = UNKNOWN_ID, etag: str = "", **values: Any) -> pb.UpdateTraceRequest:
        trace = trace_pb2.Trace(id=trace_id, **values)
        return pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=paths), etag=etag)

    yield invalid(UPDATE, "no trace", "FIELD_REQUIRED", "trace.id", pb.UpdateTraceRequest())
    for name, value in NO_IDS.items():
        yield invalid(UPDATE, f"id with {name}", "MALFORMED_ID", "trace.id", update("title", trace_id=value, title="a"))
        bad = update("title", title="a")
        bad.request_id = value
        yield invalid(UPDATE, f"request id with {name}", "MALFORMED_ID", "request_id", bad)
    yield invalid(UPDATE, "no mask", "FIELD_REQUIRED", "update_mask", update(title="a"))
    for path in _PATHS:
        name = path[:10]
        yield invalid(UPDATE, f"path {name!r}", "INVALID_FIELD_MASK", "update_mask", update("title", path, title="a"))
    for field in ("title", "context", "solution"):
        # The mask names what the trace does not have: there is no clearing it.
        yield invalid(UPDATE, f"no {field}", "FIELD_REQUIRED", f"trace.{field}", update(field))
        blank = update(field, **{field: " \n"})
        yield invalid(UPDATE, f"blank {field}", "FIELD_REQUIRED", f"trace.{field}", blank)
    for field, most in (("title", limits.TITLE_CHARACTERS), ("agent_model", limits.AGENT_MODEL_CHARACTERS)):
        too_long = update(field, **{field: "é" * (most + 1)})
        yield invalid(UPDATE, f"{field} too long", "FIELD_TOO_LONG", f"trace.{field}", too_long)
    for field in ("title", "context", "solution", "agent_model", "agent_version"):
        forbidden = update(field, **{field: "a\u202eb"})
        yield invalid(UPDATE, f"forbidden in {field}", "FORBIDDEN_CHARACTER", f"trace.{field}", forbidden)
    yield invalid(UPDATE, "bad tag", "INVALID_TAG", "trace.tags[1]", update("tags", tags=["fine", "?"]))
    too_many = update("tags", tags=[f"t{number}" for number in range(limits.TAGS + 1)])
    yield invalid(UPDATE, "too many tags", "FIELD_TOO_LONG", "trace.tags", too_many)
    not_a_number = Struct()
    not_a_number.update({"k": float("nan")})
    with_nan = update("metadata", metadata=not_a_number)
    yield invalid(UPDATE, "metadata with NaN", "INVALID_METADATA", "trace.metadata", with_nan)
    long_etag = update("title", title="a", etag="e" * (limits.ETAG_CHARACTERS + 1))
    yield invalid(UPDATE, "etag too long", "FIELD_TOO_LONG", "etag", long_etag)
    yield _not_found(UPDATE, update("title", title="a"))
    yield malformed(UPDATE, "etag not UTF-8", b"\x1a\x01\xff")


def _not_found(rpc: str, request: Any) -> Row:
    return Row(name="unknown id", rpc=rpc, request=request, code=Code.NOT_FOUND, reason="TRACE_NOT_FOUND")
