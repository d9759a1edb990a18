"""Every way a caller can fail a call, one row each, and every state of the server that fails one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

import grpc
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from commontrace.core import limits
from commontrace.embeddings.local_model import MODEL_ID
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vector_pb2

INFO, CREATE, GET, SEARCH = (
    f"/commontrace.v1.TraceService/{name}" for name in ("GetServiceInfo", "CreateTrace", "GetTrace", "SearchTraces")
)
UNKNOWN_ID = "123e4567-e89b-12d3-a456-426614174000"
DIMENSIONS = 384

_TRACE = pb.CreateTraceRequest(title="a", context="b", solution="c")
VALID: dict[str, Message] = {
    INFO: pb.GetServiceInfoRequest(),
    CREATE: _TRACE,
    GET: pb.GetTraceRequest(trace_id=UNKNOWN_ID),
    SEARCH: pb.SearchTracesRequest(text="why does it fail?"),
}
"""One request of every RPC that breaks no rule."""

Metadata = tuple[tuple[str, str], ...]
Code = grpc.StatusCode


@dataclass(frozen=True, kw_only=True)
class Row:
    """A call and how it fails. Without a reason, the transport refuses it and adds no details."""

    name: str
    rpc: str
    request: Message | bytes
    code: grpc.StatusCode
    reason: str
    field: str = ""
    metadata: Metadata = ()

    @property
    def payload(self) -> bytes:
        return self.request if isinstance(self.request, bytes) else self.request.SerializeToString()


def caller_rows() -> list[Row]:
    return [*_create(), *_get(), *_search(), *(row for rpc in VALID for row in _any_rpc(rpc))]


def server_rows() -> dict[str, list[Row]]:
    """The rows by the server's state."""

    def rows(state: str, rpcs: Iterable[str], code: grpc.StatusCode, reason: str) -> list[Row]:
        return [Row(name=state, rpc=rpc, request=VALID[rpc], code=code, reason=reason) for rpc in rpcs]

    unavailable = "DATABASE_UNAVAILABLE"
    return {
        "nobody listens": rows("nobody listens", VALID, Code.UNAVAILABLE, unavailable),
        "database dropped": rows("database dropped", VALID, Code.UNAVAILABLE, unavailable),
        "pool held": rows("pool held", VALID, Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
        "embedder closed": rows("embedder closed", (CREATE, SEARCH), Code.UNAVAILABLE, "EMBEDDER_UNAVAILABLE"),
        "schema broken": rows("schema broken", VALID, Code.INTERNAL, "INTERNAL"),
    }


def _invalid(rpc: str, name: str, reason: str, field: str, request: Message) -> Row:
    return Row(name=name, rpc=rpc, request=request, code=Code.INVALID_ARGUMENT, reason=reason, field=field)


# --- CreateTrace

_FORBIDDEN = "\0\x01\x08\x0b\x0c\x0e\x1b\x1c\x1f\x7f\x80\x85\x9f\u202a\u202e\u2066\u2069\U000e0000\U000e0041\U000e007f"
_TOO_LONG = {
    "title": limits.TITLE_CHARACTERS,
    "context": limits.CONTEXT_CHARACTERS,
    "solution": limits.SOLUTION_CHARACTERS,
    "agent_model": limits.AGENT_MODEL_CHARACTERS,
    "agent_version": limits.AGENT_VERSION_CHARACTERS,
}
_METADATA: dict[str, tuple[str, object]] = {
    "too many bytes": ("FIELD_TOO_LONG", {"k": "x" * (limits.METADATA_BYTES - len('{"k":""}') + 1)}),
    "too many bytes in UTF-8": ("FIELD_TOO_LONG", {"k": "é" * (limits.METADATA_BYTES // 2)}),
    "too deep": ("FIELD_TOO_LONG", {"levels": 17}),
    "NUL in a text": ("FORBIDDEN_CHARACTER", {"k": "a\0"}),
    "NUL in a key": ("FORBIDDEN_CHARACTER", {"a\0": 1}),
    "a tag character in a nested text": ("FORBIDDEN_CHARACTER", {"k": [1, {"l": ["\U000e0041"]}]}),
    "a bidirectional control in a nested key": ("FORBIDDEN_CHARACTER", {"k": [{"l": {"\u202e": None}}]}),
    "NaN": ("INVALID_METADATA", {"k": float("nan")}),
    "infinite": ("INVALID_METADATA", {"k": [{"l": float("inf")}]}),
    "minus infinite": ("INVALID_METADATA", {"k": {"l": [[float("-inf")]]}}),
}
_TAGS = {
    "too long": "x" * 51,
    "too long to normalise": "a" + "\u0301\u0323" * 200_000,
    "too long when normalised": "\ufdfa" * 3,
    "empty": "",
    "blank": " \t\u3000",
    "no letter or digit": "-._",
    "punctuation": "c++",
    "a word joiner": "a\u2060b",
    "an emoji": "\N{SNAKE}",
    "a bullet that looks like a digit": "\u2776",
}


def _create() -> Iterator[Row]:
    def changed(field: str, value: object) -> pb.CreateTraceRequest:
        request = pb.CreateTraceRequest()
        request.CopyFrom(_TRACE)
        if field == "metadata":
            request.metadata.CopyFrom(_struct(value))
        elif field == "tags":
            request.tags.extend(value if isinstance(value, list) else ["fine", str(value)])
        else:
            setattr(request, field, value)
        return request

    for field in ("title", "context", "solution"):
        for name, blank in {"empty": "", "blank": " \t\r\n\u00a0\u2003\u3000"}.items():
            yield _invalid(CREATE, f"{field} {name}", "FIELD_REQUIRED", field, changed(field, blank))
    for field, most in _TOO_LONG.items():
        yield _invalid(CREATE, f"{field} too long", "FIELD_TOO_LONG", field, changed(field, "é" * (most + 1)))
        for character in _FORBIDDEN:
            name = f"U+{ord(character):04X} in {field}"
            yield _invalid(CREATE, name, "FORBIDDEN_CHARACTER", field, changed(field, f"a{character}b"))
    for character in _FORBIDDEN:
        name = f"U+{ord(character):04X} in a tag"
        yield _invalid(CREATE, name, "INVALID_TAG", "tags[1]", changed("tags", f"a{character}b"))
    for name, tag in _TAGS.items():
        yield _invalid(CREATE, f"tag {name}", "INVALID_TAG", "tags[1]", changed("tags", tag))
    yield _invalid(CREATE, "too many tags", "FIELD_TOO_LONG", "tags", changed("tags", [f"t{n}" for n in range(21)]))
    # What is wrong fills more than a trailer may hold.
    for name, tag in {"escapes": "\U000e0041" * 60, "emoji": "\N{SNAKE}" * 60}.items():
        yield _invalid(CREATE, f"20 tags of {name}", "INVALID_TAG", "tags[0]", changed("tags", [tag] * 20))
    for name, (reason, value) in _METADATA.items():
        yield _invalid(CREATE, f"metadata {name}", reason, "metadata", changed("metadata", value))
    yield _malformed(CREATE, "metadata beyond the parser's depth", b"\x3a" + _sized(nested(60).SerializeToString()))


def nested(levels: int) -> Struct:
    """An object of that many objects, one in the other."""
    value: dict[str, object] = {}
    for _ in range(levels - 1):
        value = {"k": value}
    struct = Struct()
    struct.update(value)
    return struct


def _struct(value: object) -> Struct:
    match value:
        case {"levels": int(levels)}:
            return nested(levels)
        case dict():
            struct = Struct()
            struct.update(value)
            return struct
    raise AssertionError(value)


# --- GetTrace, SearchTraces

_MALFORMED_IDS = {
    "braces": f"{{{UNKNOWN_ID}}}",
    "a URN": f"urn:uuid:{UNKNOWN_ID}",
    "no hyphens": UNKNOWN_ID.replace("-", ""),
    "other hyphens": "123e4567e89b-12d3-a456-4266-14174000",
    "a space behind": f"{UNKNOWN_ID} ",
    "a newline behind": f"{UNKNOWN_ID}\n",
    "NUL behind": f"{UNKNOWN_ID}\0",
    "digits of another script": UNKNOWN_ID.replace("1", "\u0661"),
    "an underscore": UNKNOWN_ID.replace("12d3", "1_d3"),
    "not hexadecimal": UNKNOWN_ID.replace("e", "g"),
    "too long": "1" * 100_000,
    "a word": "trace",
}
_UNKNOWN_IDS = (UNKNOWN_ID, UNKNOWN_ID.upper(), "00000000-0000-0000-0000-000000000000", "f" * 8 + "-ffff" * 3 + "-" + "f" * 12)
_UNKNOWN_VIEWS = (-(2**31), -1, 3, 2**31 - 1)


def _get() -> Iterator[Row]:
    yield from _trace_id(GET, pb.GetTraceRequest)
    yield from _views(GET, pb.GetTraceRequest(trace_id=UNKNOWN_ID))


def _trace_id(rpc: str, request: type[pb.GetTraceRequest] | type[pb.SearchTracesRequest]) -> Iterator[Row]:
    yield _invalid(rpc, "id empty", "FIELD_REQUIRED", "trace_id", request(trace_id=""))
    for name, value in _MALFORMED_IDS.items():
        yield _invalid(rpc, f"id with {name}", "MALFORMED_ID", "trace_id", request(trace_id=value))
    for value in _UNKNOWN_IDS:
        yield Row(
            name=f"unknown {value}",
            rpc=rpc,
            request=request(trace_id=value),
            code=Code.NOT_FOUND,
            reason="TRACE_NOT_FOUND",
        )


