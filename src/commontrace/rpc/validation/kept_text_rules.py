"""The rules of text that is kept and shown to others: those of `field_rules`, and no secrets in it.

Queries go without: people search for what their terminal says, and queries are not kept.
"""

from collections.abc import Iterator, Sequence

from google.protobuf.struct_pb2 import Struct

from commontrace.domain import limits
from commontrace.domain.secrets import scan as secrets
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import error_reason_pb2 as reasons

# Of what is far too long for a tag, an error repeats the beginning: what tells whether that is a secret's is looked at.
_TAG_EXAMINED = 4_000


def text(field: str, value: str, limit: int, *, required: bool = False) -> Iterator[Violation]:
    """Text of at most `limit` characters, visible if required."""
    yield from rules.stored_text(field, value, limit, required=required)
    if len(value) <= limit:
        yield from _no_secrets(field, value)


def tag(field: str, given: str) -> Iterator[Violation]:
    """A spelling that has a canonical name. A secret is refused as one: what is no tag is repeated in the error."""
    yield from list(_no_secrets(field, given[:_TAG_EXAMINED])) or rules.tag(field, given)


def tags(field: str, given: Sequence[str]) -> Iterator[Violation]:
    """At most as many tags as a trace may have, each with a canonical name."""
    yield from rules.not_longer(field, len(given), limits.TAGS, "tags")
    for position, spelling in enumerate(given[: limits.TAGS]):
        yield from tag(f"{field}[{position}]", spelling)


def metadata(field: str, value: Struct) -> Iterator[Violation]:
    """An object as `json_object` says. It is searched as JSON, where a secret stands beside its name."""
    encoded = yield from rules.json_object(field, value, most_values=limits.METADATA_VALUES)
    yield from _no_secrets(field, encoded)


def _no_secrets(field: str, value: str) -> Iterator[Violation]:
    for rule, line in secrets.scan.find(value):
        yield Violation(
            field=field,
            reason=reasons.ERROR_REASON_SECRET_FOUND,
            message=f"seems to hold {rule.what} in line {line}: put a placeholder in its place, such as <token>",
            metadata={"rule": rule.name, "line": str(line)},
        )
