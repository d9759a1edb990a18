"""JSON that a command is given, as messages of the contract. Every file is read by the same rules."""

import json
import math
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from commontrace.v1 import trace_record_pb2, trace_service_pb2

    HoldsTrace = trace_record_pb2.TraceRecord | trace_service_pb2.CreateTraceRequest

# Escapes of what may be half of a surrogate pair.
_HALF_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")
# Fewer brackets than what every parser of messages takes inside each other.
_SURELY_SHALLOW = 30
# How much of a name is repeated.
_SHOWN = 60


class InvalidInput(Exception):
    """What was given cannot be used; the message completes the sentence "line 7 ..." or "trace.json ..."."""


def decode_utf8(raw: bytes) -> str:
    """Returns text in UTF-8 without the byte order mark that some editors put before it. Raises Unreadable."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("is not UTF-8 text") from None


def parse_into(message: "HoldsTrace", raw: bytes, known: Collection[str]) -> dict[str, Any]:
    """Fills a message that holds a trace from a JSON object of known fields; returns these. Raises Unreadable."""
    from google.protobuf.json_format import ParseDict, ParseError

    text = decode_utf8(raw)
    fields = _parsed(text)
    if not isinstance(fields, dict):
        raise InvalidInput("must hold one JSON object")
    unknown = next((name for name in fields if name not in known), None)
    if unknown is not None:
        raise InvalidInput(f"has the unknown field {unknown[:_SHOWN]!r}; a trace has {', '.join(known)}")
    if _HALF_ESCAPED.search(text):
        _require_characters(fields)
    try:
        ParseDict(fields, message)
    except (ParseError, ValueError, RecursionError) as error:
        raise InvalidInput(f"holds no trace: {str(error).partition(chr(10))[0]}") from None
    if text.count("{") + text.count("[") > _SURELY_SHALLOW:
        _require_readable(message)
    return fields


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"is not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise InvalidInput("is nested too deep") from None


def _whole(digits: str) -> int:
    """Returns a number that fits into a double, as which the contract keeps it; Python reads no longer ones."""
    if not math.isfinite(float(digits)):
        raise InvalidInput(f"holds a number of {len(digits.lstrip('-'))} digits; the largest has 309")
    return int(digits)


def _require_characters(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise InvalidInput(f"holds no trace: {name} has half of a surrogate pair, which is no character") from None


def _require_readable(message: "HoldsTrace") -> None:
    """Makes sure that the server can read the message: one that it cannot would end the whole call."""
    from google.protobuf.message import DecodeError, EncodeError

    from commontrace.v1 import trace_import_pb2, trace_record_pb2

    try:
        record = trace_record_pb2.TraceRecord(metadata=message.metadata)
        request = trace_import_pb2.ImportTracesRequest(items=[trace_import_pb2.ImportItem(trace=record)])
        trace_import_pb2.ImportTracesRequest.FromString(request.SerializeToString())
    except (DecodeError, EncodeError):
        raise InvalidInput("is nested too deep") from None
