"""The rules that fields of several messages share. Each yields what is wrong, nothing if all is well."""

import json
import math
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from typing import Protocol
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from commontrace.core import limits, tag_names
from commontrace.core.errors import InvalidTag
from commontrace.core.text import first_forbidden, is_blank
from commontrace.rpc.invalid_request import Violation
from commontrace.v1 import error_reason_pb2 as reasons

# How many bytes of protobuf a byte of JSON takes at the most: `0,` is a Value of 11 bytes.
_ENCODED_BYTES = 8
_MAX_SECONDS = 253_402_300_799  # the end of the year 9999
_MIN_SECONDS = -62_135_596_800  # the beginning of the year 1
# How much of an unknown path is repeated.
_SHOWN = 60


class KnownEnum(Protocol):
    """What protobuf generates for an enum."""

    def keys(self) -> Sequence[str]: ...  # noqa: D102 - see EnumTypeWrapper
    def values(self) -> Sequence[int]: ...  # noqa: D102


def stored_text(field: str, text: str, limit: int, *, required: bool = False) -> Iterator[Violation]:
    """Text that is kept: of at most `limit` characters, visible if required, without forbidden characters."""
    if required and is_blank(text):
        yield Violation(field=field, reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="is required")
    yield from not_longer(field, len(text), limit, "characters")
    forbidden = first_forbidden(text)
    if forbidden is not None:
        yield forbidden_character(field, *forbidden)


def not_longer(field: str, actual: int, limit: int, unit: str) -> Iterator[Violation]:
    """At most `limit` of something."""
    if actual > limit:
        yield Violation(
            field=field,
            reason=reasons.ERROR_REASON_FIELD_TOO_LONG,
            message=f"has {actual} {unit}; at most {limit} are allowed",
            metadata={"limit": str(limit), "actual": str(actual), "unit": unit},
        )


def within(field: str, actual: float, minimum: float, maximum: float) -> Iterator[Violation]:
    """A number within bounds, both allowed; NaN never is."""
    if not minimum <= actual <= maximum:
        yield Violation(
            field=field,
            reason=reasons.ERROR_REASON_FIELD_OUT_OF_RANGE,
            message=f"is {actual}; it must be within {minimum}..{maximum}",
            metadata={"minimum": str(minimum), "maximum": str(maximum), "actual": str(actual)},
        )


def time(field: str, value: Timestamp, latest: int = _MAX_SECONDS) -> Iterator[Violation]:
    """A time that can be kept, at most so many seconds after 1970."""
    yield from within(f"{field}.seconds", value.seconds, _MIN_SECONDS, latest)
    yield from within(f"{field}.nanos", value.nanos, 0, 999_999_999)


def identifier(field: str, value: str) -> Iterator[Violation]:
    """A UUID in the usual spelling, lower or upper case."""
    if not value:
        yield Violation(field=field, reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="is required")
    elif not _is_uuid(value):
        message = "is not a UUID, such as 123e4567-e89b-12d3-a456-426614174000"
        yield Violation(field=field, reason=reasons.ERROR_REASON_MALFORMED_ID, message=message)


def optional_identifier(field: str, value: str) -> Iterator[Violation]:
    """A UUID, or nothing."""
    if value:
        yield from identifier(field, value)


def tag(field: str, given: str) -> Iterator[Violation]:
    """A spelling that has a canonical name."""
    try:
        tag_names.normalise(given)
    except InvalidTag as error:
        yield Violation(
            field=field,
            reason=reasons.ERROR_REASON_INVALID_TAG,
            message=str(error),
            metadata=dict(error.metadata),
        )


def tags(field: str, given: Sequence[str], most: int) -> Iterator[Violation]:
    """At most so many tags, each with a canonical name."""
    yield from not_longer(field, len(given), most, "tags")
    for position, spelling in enumerate(given[:most]):
        yield from tag(f"{field}[{position}]", spelling)


def page_size(value: int) -> Iterator[Violation]:
    """Not negative; what is too much is reduced, not refused."""
    if value < 0:
        yield from within("page_size", value, 0, limits.PAGE_ITEMS)


def update_mask(mask: FieldMask, known: Collection[str]) -> Iterator[Violation]:
    """What to change: at least one path, and known ones only. The first unknown one is named."""
    if not mask.paths:
        yield Violation(field="update_mask", reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="is required")
    unknown = next((path for path in mask.paths if path not in known), None)
    if unknown is not None:
        shown = unknown if len(unknown) <= _SHOWN else unknown[: _SHOWN - 3] + "..."
        yield Violation(
            field="update_mask",
            reason=reasons.ERROR_REASON_INVALID_FIELD_MASK,
            message=f"names {shown!r}; what can be updated is {', '.join(known)}",
            metadata={"path": shown},
        )


def known_enum(field: str, value: int, enum: KnownEnum) -> Iterator[Violation]:
    """A value that the enum has."""
    if value not in enum.values():
        known = ", ".join(enum.keys())
        yield Violation(
            field=field,
            reason=reasons.ERROR_REASON_UNKNOWN_ENUM_VALUE,
            message=f"is {value}; known values are {known}",
            metadata={"actual": str(value)},
        )


def json_object(field: str, value: Struct, limit: int) -> Generator[Violation, None, str]:
    """An object of at most `limit` bytes as JSON, not nested too deep, with finite numbers and storable text.

    Returns the JSON; nothing of what is refused.
    """
    if value.ByteSize() > _ENCODED_BYTES * limit:
        # Surely too long: looking at half a million values would keep other calls waiting.
        yield from not_longer(field, value.ByteSize(), limit, "bytes")
        return ""
    levels = _levels(value)
    if levels > limits.METADATA_LEVELS:
        yield from not_longer(field, levels, limits.METADATA_LEVELS, "levels")
        return ""
    for text in _texts(value):
        forbidden = first_forbidden(text)
        if forbidden is not None:
            yield forbidden_character(field, *forbidden)
            return ""
    if not all(map(math.isfinite, _numbers(value))):
        message = "holds a number that is NaN or infinite; JSON has neither"
        yield Violation(field=field, reason=reasons.ERROR_REASON_INVALID_METADATA, message=message)
        return ""
    encoded = json.dumps(MessageToDict(value), ensure_ascii=False, separators=(",", ":"))
    size = len(encoded.encode())
    yield from not_longer(field, size, limit, "bytes")
    return encoded if size <= limit else ""


def forbidden_character(field: str, position: int, character: str) -> Violation:
    """Returns the violation for a character that is never stored."""
    code_point = f"U+{ord(character):04X}"
    return Violation(
        field=field,
        reason=reasons.ERROR_REASON_FORBIDDEN_CHARACTER,
        message=f"has the forbidden character {code_point} at position {position}",
        metadata={"code_point": code_point, "position": str(position)},
    )


def _is_uuid(value: str) -> bool:
    try:
        return str(UUID(value)) == value.lower()
    except ValueError:
        return False


def _children(container: Struct | ListValue) -> Iterable[Value]:
    return container.fields.values() if isinstance(container, Struct) else container.values


def _inside(value: Value) -> Struct | ListValue | None:
    if value.HasField("struct_value"):
        return value.struct_value
    return value.list_value if value.HasField("list_value") else None


def _values(container: Struct | ListValue) -> Iterator[Value]:
    for child in _children(container):
        yield child
        inside = _inside(child)
        if inside is not None:
            yield from _values(inside)


def _levels(container: Struct | ListValue) -> int:
    containers = (inside for child in _children(container) if (inside := _inside(child)) is not None)
    return 1 + max(map(_levels, containers), default=0)


def _texts(value: Struct) -> Iterator[str]:
    yield from value.fields
    for child in _values(value):
        if child.HasField("string_value"):
            yield child.string_value
        elif child.HasField("struct_value"):
            yield from child.struct_value.fields


def _numbers(value: Struct) -> Iterator[float]:
    return (child.number_value for child in _values(value) if child.HasField("number_value"))
