"""JSON input as messages of the contract, by the same rules for `contribute` and `import`."""

import json
import math
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from commontrace.v1 import trace_record_pb2, trace_service_pb2

    HoldsTrace = trace_record_pb2.TraceRecord | trace_service_pb2.CreateTraceRequest

# A JSON escape of a surrogate, which may lack its other half.
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
# Text with fewer brackets cannot exceed the nesting limit of any protobuf parser.
_ALWAYS_ALLOWED_BRACKETS = 30
# How many characters of an unknown field's name a message repeats.
_NAME_CHARACTERS = 60


class InvalidInput(Exception):
    """Input that cannot be used; the message completes a sentence such as "line 7 ..." or "trace.json ..."."""


def decode_utf8(raw: bytes) -> str:
    """Decodes UTF-8, with or without a byte order mark. Raises InvalidInput."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("is not UTF-8 text") from None


def parse_into(message: "HoldsTrace", raw: bytes, known: Collection[str]) -> dict[str, Any]:
    """Fills a message from a JSON object of known fields, and returns these fields. Raises InvalidInput."""
    from google.protobuf.json_format import ParseDict, ParseError

    text = decode_utf8(raw)
    fields = _parsed(text)
    if not isinstance(fields, dict):
        raise InvalidInput("must hold one JSON object")
    unknown = next((name for name in fields if name not in known), None)
    if unknown is not None:
        raise InvalidInput(f"has the unknown field {unknown[:_NAME_CHARACTERS]!r}; a trace has {', '.join(known)}")
    if _SURROGATE_ESCAPE.search(text):
        _require_encodable(fields)
    try:
        ParseDict(fields, message)
    except (ParseError, ValueError, RecursionError) as error:
        raise InvalidInput(f"holds no trace: {str(error).partition(chr(10))[0]}") from None
    if text.count("{") + text.count("[") > _ALWAYS_ALLOWED_BRACKETS:
        _require_parseable(message)
    return fields


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_int=_parse_int)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise InvalidInput("is nested too deep") from None


def _parse_int(digits: str) -> int:
    """Returns an integer in the range of a double, which is what google.protobuf.Struct stores. Raises InvalidInput."""
    if not math.isfinite(float(digits)):
        raise InvalidInput(f"holds a number of {len(digits.lstrip('-'))} digits; the largest has 309")
    return int(digits)


def _require_encodable(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise InvalidInput(f"holds no trace: {name} has half of a surrogate pair, which is no character") from None


def _require_parseable(message: "HoldsTrace") -> None:
    """Raises InvalidInput for a message that is nested too deep to parse, which would end the server's whole stream."""
    from google.protobuf.message import DecodeError, EncodeError

    from commontrace.v1 import trace_import_pb2, trace_record_pb2

    try:
        record = trace_record_pb2.TraceRecord(metadata=message.metadata)
        request = trace_import_pb2.ImportTracesRequest(items=[trace_import_pb2.ImportItem(trace=record)])
        trace_import_pb2.ImportTracesRequest.FromString(request.SerializeToString())
    except (DecodeError, EncodeError):
        raise InvalidInput("is nested too deep") from None
