"""Validation of fields that several messages share. Each rule yields the violations of a field, none if it is valid."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol
from uuid import UUID

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from commontrace.domain import limits
from commontrace.domain.errors import InvalidTag
from commontrace.domain.namespaces.namespace import is_name
from commontrace.domain.tags import names as tag_names
from commontrace.domain.text import first_forbidden, is_blank
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import error_reason_pb2 as reasons

_MAX_SECONDS = 253_402_300_799  # the end of the year 9999
_MIN_SECONDS = -62_135_596_800  # the beginning of the year 1
# Characters of an unknown path that an error repeats.
_SHOWN = 60


class KnownEnum(Protocol):
    """The class that protobuf generates for an enum."""

    DESCRIPTOR: EnumDescriptor

    def keys(self) -> Sequence[str]: ...  # noqa: D102 - see EnumTypeWrapper


def stored_text(field: str, text: str, limit: int, *, required: bool = False) -> Iterator[Violation]:
    """Requires at most `limit` characters, none of them forbidden, and one that is visible if `required`."""
    if required and is_blank(text):
        message = "is required: nothing in it can be seen" if text else "is required"
        yield Violation(field=field, reason=reasons.ERROR_REASON_FIELD_REQUIRED, message=message)
    yield from not_longer(field, len(text), limit, "characters")
    forbidden = first_forbidden(text)
    if forbidden is not None:
        yield forbidden_character(field, *forbidden)


def not_longer(field: str, actual: int, limit: int, unit: str) -> Iterator[Violation]:
    """Requires at most `limit` units."""
    if actual > limit:
        yield Violation(
            field=field,
            reason=reasons.ERROR_REASON_FIELD_TOO_LONG,
            message=f"has {actual} {unit}; at most {limit} are allowed",
            metadata={"limit": str(limit), "actual": str(actual), "unit": unit},
        )


def within(field: str, actual: float, minimum: float, maximum: float) -> Iterator[Violation]:
    """Requires a number within the bounds, both included; NaN is outside."""
    if not minimum <= actual <= maximum:
        yield Violation(
            field=field,
            reason=reasons.ERROR_REASON_FIELD_OUT_OF_RANGE,
            message=f"is {actual}; it must be within {minimum}..{maximum}",
            metadata={"minimum": str(minimum), "maximum": str(maximum), "actual": str(actual)},
        )


def time(field: str, value: Timestamp, latest: int = _MAX_SECONDS) -> Iterator[Violation]:
    """Requires a time that can be stored, at most `latest` seconds after 1970."""
    yield from within(f"{field}.seconds", value.seconds, _MIN_SECONDS, latest)
    yield from within(f"{field}.nanos", value.nanos, 0, 999_999_999)


def identifier(field: str, value: str) -> Iterator[Violation]:
    """Requires a UUID with hyphens, in lower or upper case."""
    if not value:
        yield Violation(field=field, reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="is required")
    elif not _is_uuid(value):
        message = "is not a UUID, such as 123e4567-e89b-12d3-a456-426614174000"
        yield Violation(field=field, reason=reasons.ERROR_REASON_MALFORMED_ID, message=message)


def optional_identifier(field: str, value: str) -> Iterator[Violation]:
    """Requires a UUID or an empty field."""
    if value:
        yield from identifier(field, value)


def tag(field: str, given: str) -> Iterator[Violation]:
    """Requires a spelling of a tag that has a canonical name."""
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
    """Requires at most `most` tags, each with a canonical name."""
    yield from not_longer(field, len(given), most, "tags")
    for position, spelling in enumerate(given[:most]):
        yield from tag(f"{field}[{position}]", spelling)


def namespace(field: str, name: str) -> Iterator[Violation]:
    """Requires the name of a namespace."""
    if not name:
        yield Violation(field=field, reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="is required")
    elif not is_name(name):
        most = limits.NAMESPACE_NAME_CHARACTERS
        message = (
            f"is no name of a namespace: 1 to {most} characters among a to z, 0 to 9 and -, which is neither the first"
            " nor the last"
        )
        yield Violation(field=field, reason=reasons.ERROR_REASON_INVALID_NAMESPACE, message=message)


def optional_namespace(field: str, name: str) -> Iterator[Violation]:
    """Requires the name of a namespace or an empty field."""
    if name:
        yield from namespace(field, name)


def namespaces(field: str, names: Sequence[str], most: int) -> Iterator[Violation]:
    """Requires at most `most` names of namespaces."""
    yield from not_longer(field, len(names), most, "namespaces")
    for position, name in enumerate(names[:most]):
        yield from namespace(f"{field}[{position}]", name)


def page_size(value: int) -> Iterator[Violation]:
    """Requires a number that is not negative; one that is too large is reduced later."""
    if value < 0:
        yield from within("page_size", value, 0, limits.PAGE_ITEMS)


def update_mask(mask: FieldMask, known: Collection[str]) -> Iterator[Violation]:
    """Requires at least one path, and known ones alone. The violation names the first unknown one."""
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
    """Requires a value of the enum."""
    # The values of the class itself are a new list for each call.
    if value not in enum.DESCRIPTOR.values_by_number:
        known = ", ".join(enum.keys())
        yield Violation(
            field=field,
            reason=reasons.ERROR_REASON_UNKNOWN_ENUM_VALUE,
            message=f"is {value}; known values are {known}",
            metadata={"actual": str(value)},
        )


def forbidden_character(field: str, position: int, character: str) -> Violation:
    """Returns the violation of a forbidden character."""
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
