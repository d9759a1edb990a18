"""Validation of text that is stored and shown to others: as `field_rules`, and without secrets (ADR 0030).

Queries are not checked for secrets: people search for what their terminal says, and queries are not stored.
"""

from collections.abc import Iterator, Sequence

from google.protobuf.struct_pb2 import Struct

from commontrace.domain import limits
from commontrace.domain.secrets import scan as secret_scan
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.rpc.validation.json_rules import json_object
from commontrace.v1 import error_reason_pb2 as reasons

# The error of a tag that is far too long repeats its beginning: enough characters to see whether that is a secret.
_TAG_EXAMINED = 4_000


def text(field: str, value: str, limit: int, *, required: bool = False) -> Iterator[Violation]:
    """Requires storable text of at most `limit` characters, visible if `required`, without secrets."""
    yield from rules.stored_text(field, value, limit, required=required)
    if len(value) <= limit:
        yield from _no_secrets(field, value)


def tag(field: str, given: str) -> Iterator[Violation]:
    """Requires a spelling of a tag. A secret is refused as a secret: the error of an invalid tag would repeat it."""
    yield from list(_no_secrets(field, given[:_TAG_EXAMINED])) or rules.tag(field, given)


def tags(field: str, given: Sequence[str]) -> Iterator[Violation]:
    """Requires at most as many tags as a trace may have, each with a canonical name."""
    yield from rules.not_longer(field, len(given), limits.TAGS, "tags")
    for position, spelling in enumerate(given[: limits.TAGS]):
        yield from tag(f"{field}[{position}]", spelling)


def metadata(field: str, value: Struct) -> Iterator[Violation]:
    """Requires an object as `json_object` does, without secrets. In JSON, a secret stands beside its name."""
    encoded = yield from json_object(field, value, most_values=limits.METADATA_VALUES)
    yield from _no_secrets(field, encoded)


def _no_secrets(field: str, value: str) -> Iterator[Violation]:
    for rule, line in secret_scan.scan.find(value):
        yield Violation(
            field=field,
            reason=reasons.ERROR_REASON_SECRET_FOUND,
            message=f"seems to hold {rule.what} in line {line}: put a placeholder in its place, such as <token>",
            metadata={"rule": rule.name, "line": str(line)},
        )
