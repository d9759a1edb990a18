"""Validation of JSON objects: the metadata of traces, and filters by metadata."""

import json
import math
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from dataclasses import field as dataclass_field

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import ListValue, Struct, Value

from commontrace.domain import limits
from commontrace.domain.text import first_forbidden
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import error_reason_pb2 as reasons

# The most bytes of protobuf that one byte of JSON stands for: `0,` is a Value of 11 bytes.
_ENCODED_BYTES = 8


def json_object(field: str, value: Struct, *, most_values: int) -> Generator[Violation, None, str]:
    """Requires an object within the limits of bytes as JSON, levels and values, with finite numbers and storable text.

    Returns the JSON; "" for an invalid object.
    """
    limit = limits.METADATA_BYTES
    if value.ByteSize() > _ENCODED_BYTES * limit:
        # Too long in any case: a walk through half a million values would delay other calls.
        yield from rules.not_longer(field, value.ByteSize(), limit, "bytes")
        return ""
    content = _content(value)
    if content.levels > limits.METADATA_LEVELS:
        yield from rules.not_longer(field, content.levels, limits.METADATA_LEVELS, "levels")
        return ""
    if content.count > most_values:
        yield from rules.not_longer(field, content.count, most_values, "values")
        return ""
    for text in content.texts:
        forbidden = first_forbidden(text)
        if forbidden is not None:
            yield rules.forbidden_character(field, *forbidden)
            return ""
    if not all(map(math.isfinite, content.numbers)):
        message = "holds a number that is NaN or infinite; JSON has neither"
        yield Violation(field=field, reason=reasons.ERROR_REASON_INVALID_METADATA, message=message)
        return ""
    encoded = json.dumps(MessageToDict(value), ensure_ascii=False, separators=(",", ":"))
    size = len(encoded.encode())
    yield from rules.not_longer(field, size, limit, "bytes")
    return encoded if size <= limit else ""


@dataclass(kw_only=True, slots=True)
class _Content:
    """The contents of an object, collected in one walk: each step through a message takes a microsecond or two."""

    levels: int = 0
    count: int = 0
    texts: list[str] = dataclass_field(default_factory=list)
    numbers: list[float] = dataclass_field(default_factory=list)


def _content(value: Struct) -> _Content:
    content = _Content()
    level: list[Struct | ListValue] = [value]
    while level:
        content.levels += 1
        deeper: list[Struct | ListValue] = []
        for container in level:
            if isinstance(container, Struct):
                content.texts += container.fields
                children: Iterable[Value] = container.fields.values()
            else:
                children = container.values
            for child in children:
                content.count += 1
                match child.WhichOneof("kind"):
                    case "string_value":
                        content.texts.append(child.string_value)
                    case "number_value":
                        content.numbers.append(child.number_value)
                    case "struct_value":
                        deeper.append(child.struct_value)
                    case "list_value":
                        deeper.append(child.list_value)
        level = deeper
    return content
