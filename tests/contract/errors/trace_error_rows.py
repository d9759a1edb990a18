"""Error rows for the fields of the calls of TraceService."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from google.protobuf.struct_pb2 import Struct

from commontrace.domain import limits
from commontrace.settings import INSTALLED_MODEL
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vector_pb2
from tests.contract.errors.error_row import (
    CREATE,
    GET,
    SEARCH,
    UNKNOWN_ID,
    Code,
    Row,
    delimited,
    invalid,
    lists,
    malformed,
    objects,
)

# NUL; other C0 controls, among them all that Python takes for spaces; DEL; C1; bidirectional controls; tag characters.
_FORBIDDEN = "\0\x01\x08\x0b\x0c\x0e\x1b\x1c\x1d\x1e\x1f\x7f\x80\x85\x9f\u202a\u202e\u2066\u2069\U000e0000\U000e007f"
_TEXTS = {
    "title": limits.TITLE_CHARACTERS,
    "context": limits.CONTEXT_CHARACTERS,
    "solution": limits.SOLUTION_CHARACTERS,
    "agent_model": limits.AGENT_MODEL_CHARACTERS,
    "agent_version": limits.AGENT_VERSION_CHARACTERS,
}
_BLANK = {"empty": "", "blank": " \t\r\n\u00a0\u2003\u3000", "invisible": "\u200b\u2060 \u00ad"}
_TAGS = {
    "too long": "x" * 51,
    "too long only when normalised": "\ufdfa" * 3,
    "that would keep the normaliser busy for minutes": "a" + "\u0301" * 100_000 + "\u0323" * 100_000,
    "empty": "",
    "blank": " \t\u3000",
    "without letter or digit": "-._",
    "with punctuation": "a+b",
    "with a word joiner": "a\u2060b",
    "with an emoji": "\N{SNAKE}",
    "with a bullet that looks like a digit": "\u2776",
}
_METADATA: Mapping[str, tuple[str, Any]] = {
    "too long by a byte": ("FIELD_TOO_LONG", {"k": "x" * (limits.METADATA_BYTES - len('{"k":""}') + 1)}),
    "too long in UTF-8": ("FIELD_TOO_LONG", {"k": "é" * (limits.METADATA_BYTES // 2)}),
    "with too many values in a list": ("FIELD_TOO_LONG", {"k": [1] * limits.METADATA_VALUES}),
    "with too many values in lists of lists": ("FIELD_TOO_LONG", {"k": [[1]] * (limits.METADATA_VALUES // 2)}),
    "with too many values in an object": (
        "FIELD_TOO_LONG",
        {f"{number:04}": 1 for number in range(limits.METADATA_VALUES + 1)},
    ),
    "with NUL in a text": ("FORBIDDEN_CHARACTER", {"k": "a\0"}),
    "with NUL in a key": ("FORBIDDEN_CHARACTER", {"a\0": 1}),
    "with a tag character in a nested text": ("FORBIDDEN_CHARACTER", {"k": [1, {"l": ["\U000e0041"]}]}),
    "with a bidirectional control in a nested key": ("FORBIDDEN_CHARACTER", {"k": [{"l": {"\u202e": None}}]}),
    "with NaN": ("INVALID_METADATA", {"k": float("nan")}),
    "with infinity": ("INVALID_METADATA", {"k": [{"l": float("inf")}]}),
    "with minus infinity": ("INVALID_METADATA", {"k": {"l": [[float("-inf")]]}}),
}
_MALFORMED_IDS = {
    "braces": f"{{{UNKNOWN_ID}}}",
    "a URN's prefix": f"urn:uuid:{UNKNOWN_ID}",
    "no hyphens": UNKNOWN_ID.replace("-", ""),
    "hyphens elsewhere": "123e4567e89b-12d3-a456-4266-14174000",
    "a space before": f" {UNKNOWN_ID}",
    "a space behind": f"{UNKNOWN_ID} ",
    "a newline behind": f"{UNKNOWN_ID}\n",
    "NUL behind": f"{UNKNOWN_ID}\0",
    "digits of another script": UNKNOWN_ID.replace("1", "\u0661"),
    "an underscore": UNKNOWN_ID.replace("12d3", "1_d3"),
    "other letters": UNKNOWN_ID.replace("e", "g"),
    "100,000 digits": "1" * 100_000,
    "a word": "trace",
}
_UNKNOWN_IDS = (
    UNKNOWN_ID,
    UNKNOWN_ID.upper(),
    f"{0:08}-0000-0000-0000-{0:012}",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
)
_UNKNOWN_VIEWS = (-(2**31), -1, 3, 2**31 - 1)
_OUT_OF_RANGE = (-(2**31), -1, limits.SEARCH_HITS + 1, 2**31 - 1)


def create_trace_rows() -> Iterator[Row]:
    for field in ("title", "context", "solution"):
        for name, blank in _BLANK.items():
            yield invalid(CREATE, f"{field} {name}", "FIELD_REQUIRED", field, _create(**{field: blank}))
    for field, most in _TEXTS.items():
        too_long = _create(**{field: "é" * (most + 1)})
        yield invalid(CREATE, f"{field} too long", "FIELD_TOO_LONG", field, too_long)
    for character in _FORBIDDEN:
        name, text = f"U+{ord(character):04X} in", f"a{character}b"
        for field in _TEXTS:
            yield invalid(CREATE, f"{name} {field}", "FORBIDDEN_CHARACTER", field, _create(**{field: text}))
        yield invalid(CREATE, f"{name} a tag", "INVALID_TAG", "tags[1]", _create(tags=["fine", text]))
    for name, tag in _TAGS.items():
        yield invalid(CREATE, f"tag {name}", "INVALID_TAG", "tags[1]", _create(tags=["fine", tag]))
    too_many = _create(tags=[f"t{number}" for number in range(limits.TAGS + 1)])
    yield invalid(CREATE, "too many tags", "FIELD_TOO_LONG", "tags", too_many)
    # More is wrong than the trailers may hold.
    for name, tag in {"escapes": "\U000e0041" * 60, "emoji": "\N{SNAKE}" * 60}.items():
        yield invalid(CREATE, f"20 tags of {name}", "INVALID_TAG", "tags[0]", _create(tags=[tag] * limits.TAGS))
    for name, (reason, value) in _METADATA.items():
        yield invalid(CREATE, f"metadata {name}", reason, "metadata", _create(metadata=_struct(value)))
    # Deep enough for a request, too deep for the responses that carry it: whoever met the trace could not read it.
    for name, deep in {"objects": objects(32), "lists": lists(48)}.items():
        request = _create(metadata=deep)
        yield invalid(CREATE, f"metadata of {name} too deep", "FIELD_TOO_LONG", "metadata", request)
    too_deep = _create().SerializeToString() + delimited(7, _unparsable_object())
    yield malformed(CREATE, "metadata deeper than can be parsed", too_deep)
    yield malformed(CREATE, "title not UTF-8", b"\x0a\x02\xc3\x28")
    yield malformed(CREATE, "tag with a surrogate", b"\x22\x03\xed\xa0\x80")


def get_trace_rows() -> Iterator[Row]:
    yield from _trace_id(GET, pb.GetTraceRequest)
    for view in _UNKNOWN_VIEWS:
        request = pb.GetTraceRequest(trace_id=UNKNOWN_ID, view=view)  # type: ignore[arg-type] # unknown numbers
        yield invalid(GET, f"view {view}", "UNKNOWN_ENUM_VALUE", "view", request)
    yield malformed(GET, "id not UTF-8", b"\x0a\x01\xff")


def search_traces_rows() -> Iterator[Row]:
    for name, text in {**_BLANK, "nothing visible": "\x1b\u202e\u2066\U000e0041 \n"}.items():
        yield invalid(SEARCH, f"text {name}", "FIELD_REQUIRED", "text", pb.SearchTracesRequest(text=text))
    yield invalid(SEARCH, "NUL in text", "FORBIDDEN_CHARACTER", "text", pb.SearchTracesRequest(text="a\0b"))
    too_long = pb.SearchTracesRequest(text="é" * (limits.QUERY_CHARACTERS + 1))
    yield invalid(SEARCH, "text too long", "FIELD_TOO_LONG", "text", too_long)
    yield invalid(SEARCH, "no query", "FIELD_REQUIRED", "query", pb.SearchTracesRequest(limit=1))
    yield from _trace_id(SEARCH, pb.SearchTracesRequest)
    for view in _UNKNOWN_VIEWS:
        request = pb.SearchTracesRequest(text="a", view=view)  # type: ignore[arg-type] # unknown numbers
        yield invalid(SEARCH, f"view {view}", "UNKNOWN_ENUM_VALUE", "view", request)
    for number in _OUT_OF_RANGE:
        with_limit = pb.SearchTracesRequest(text="a", limit=number)
        yield invalid(SEARCH, f"limit {number}", "FIELD_OUT_OF_RANGE", "limit", with_limit)
        with_size = pb.SearchTracesRequest(text="a", batch_size=number)
        yield invalid(SEARCH, f"batch_size {number}", "FIELD_OUT_OF_RANGE", "batch_size", with_size)
    for name, (reason, field, vector) in _vectors().items():
        yield invalid(SEARCH, f"vector {name}", reason, field, pb.SearchTracesRequest(embedding=vector))
    yield malformed(SEARCH, "text not UTF-8", b"\x0a\x02\xc0\x80")
    yield malformed(SEARCH, "packed floats cut short", delimited(2, delimited(2, delimited(1, b"\0\0\0"))))


def _trace_id(rpc: str, message: type[pb.GetTraceRequest | pb.SearchTracesRequest]) -> Iterator[Row]:
    yield invalid(rpc, "id empty", "FIELD_REQUIRED", "trace_id", message(trace_id=""))
    for name, value in _MALFORMED_IDS.items():
        yield invalid(rpc, f"id with {name}", "MALFORMED_ID", "trace_id", message(trace_id=value))
    for value in _UNKNOWN_IDS:
        request = message(trace_id=value)
        yield Row(name=value, rpc=rpc, request=request, code=Code.NOT_FOUND, reason="TRACE_NOT_FOUND")


def _vectors() -> dict[str, tuple[str, str, vector_pb2.Vector]]:
    def packed(components: bytes, model_id: str = INSTALLED_MODEL) -> vector_pb2.Vector:
        return vector_pb2.Vector(packed_f32=components, model_id=model_id)

    def listed(*components: float) -> vector_pb2.Vector:
        return vector_pb2.Vector(float_vector=vector_pb2.FloatVector(values=components), model_id=INSTALLED_MODEL)

    ones = np.ones(384, dtype="<f4")
    vectors = {
        "without components": ("FIELD_REQUIRED", "embedding.components", vector_pb2.Vector(model_id=INSTALLED_MODEL)),
        "without model": ("FIELD_REQUIRED", "embedding.model_id", packed(ones.tobytes(), "")),
        "of another model": ("EMBEDDING_MODEL_MISMATCH", "embedding.model_id", packed(ones.tobytes(), "é" * 100_000)),
        "of the model in capitals": (
            "EMBEDDING_MODEL_MISMATCH",
            "embedding.model_id",
            packed(ones.tobytes(), INSTALLED_MODEL.upper()),
        ),
        "with no bytes": ("INVALID_VECTOR", "embedding", packed(b"")),
        "with no values": ("INVALID_VECTOR", "embedding", listed()),
        "of nothing at all": ("FIELD_REQUIRED", "embedding.model_id", vector_pb2.Vector()),
        "with a byte too many": ("INVALID_VECTOR", "embedding.packed_f32", packed(ones.tobytes() + b"\0")),
        "with a byte too few": ("INVALID_VECTOR", "embedding.packed_f32", packed(ones.tobytes()[:-1])),
    }
    for dimensions in (1, 383, 385, 1536):
        vectors[f"of {dimensions} packed"] = ("INVALID_VECTOR", "embedding", packed(bytes(4 * dimensions)))
        vectors[f"of {dimensions} listed"] = ("INVALID_VECTOR", "embedding", listed(*[1.0] * dimensions))
    for component in (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e-45, 1e-8, 1e5, 1e20, 3e38, -3e38):
        every, last = ones * np.float32(component), [*[0.0] * 383, component]
        if abs(component) != 1e5:  # alone, it has a norm that is allowed
            vectors[f"with one {component}"] = ("INVALID_VECTOR", "embedding", listed(*last))
        vectors[f"of {component}"] = ("INVALID_VECTOR", "embedding", packed(every.tobytes()))
    return vectors


def _create(**changes: Any) -> pb.CreateTraceRequest:
    return pb.CreateTraceRequest(**{"title": "a", "context": "b", "solution": "c"} | changes)


def _struct(value: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(value)
    return struct


def _unparsable_object() -> bytes:
    encoded = b""
    for _ in range(200):
        # fields { key: "k" value { struct_value { ... } } }
        encoded = delimited(1, delimited(1, b"k") + delimited(2, delimited(5, encoded)))
    return encoded
