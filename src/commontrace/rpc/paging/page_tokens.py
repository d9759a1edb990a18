"""Page tokens, cursors and resume tokens: the position behind a page or a stream, for keyset pagination.

Format: URL-safe base64 of a checksum (4 bytes), a binding to the fields of the request (8 bytes) and a position in
JSON. A token grants no rights and is validated like any input.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from commontrace.domain import limits
from commontrace.domain.text import first_forbidden
from commontrace.rpc.canonical_bytes import canonical_bytes
from commontrace.rpc.messages.timestamps import since_epoch
from commontrace.rpc.validation.invalid_request import InvalidRequest, Violation
from commontrace.storage.keyset import Cursor
from commontrace.v1 import error_reason_pb2 as reasons

Place = TypeVar("Place")

_CHECKSUM_BYTES = 4
_BINDING_BYTES = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# `json.dumps` makes an encoder for each call that has separators.
_COMPACT_JSON = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class TokenField(Generic[Place]):
    """The token field of a request: its name, the fields that may differ between calls, the format of positions."""

    name: str = "page_token"
    may_differ: tuple[str, ...] = ("page_size",)
    pack: Callable[[Place], Sequence[Any]]
    """Returns the position as values of JSON."""
    unpack: Callable[[Sequence[Any]], Place]
    """Returns the position. Raises ValueError, TypeError or OverflowError for values that `pack` never returns."""

    def token(self, request: Message, place: Place) -> str:
        """Returns the token that continues the request behind the position."""
        content = self._binding(request) + _COMPACT_JSON.encode(self.pack(place)).encode()
        return _encoded(_checksum(content) + content)

    def next_token(self, request: Message, place: Place | None) -> str:
        """Returns the same; "" for None, behind the last page."""
        return "" if place is None else self.token(request, place)

    def position(self, request: Message) -> Place | None:
        """Returns the position to continue behind, None without a token. Raises InvalidRequest."""
        token: str = getattr(request, self.name)
        if not token:
            return None
        raw = _decoded(token)
        checksum, content = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
        if checksum != _checksum(content):
            raise self._invalid("MALFORMED")
        if content[:_BINDING_BYTES] != self._binding(request):
            raise self._invalid("OTHER_REQUEST")
        try:
            return self.unpack(json.loads(content[_BINDING_BYTES:]))
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise self._invalid("MALFORMED") from None

    def violations(self, request: Message) -> Iterator[Violation]:
        """Yields the violation of an invalid token."""
        try:
            self.position(request)
        except InvalidRequest as error:
            yield from error.violations

    def _binding(self, request: Message) -> bytes:
        message_type = request.DESCRIPTOR.full_name.encode()
        bound = canonical_bytes(request, without=(self.name, *self.may_differ))
        return _checksum(message_type + b"\0" + bound, size=_BINDING_BYTES)

    def _invalid(self, problem: str) -> InvalidRequest:
        message = {
            "MALFORMED": "is no token of this service: send back what a response said, or nothing to start anew",
            "OTHER_REQUEST": "belongs to a request with other fields: repeat the request as it was, or start anew",
        }[problem]
        reason = reasons.ERROR_REASON_INVALID_PAGE_TOKEN
        return InvalidRequest(
            [Violation(field=self.name, reason=reason, message=message, metadata={"problem": problem})]
        )


def by_text(most_characters: int) -> TokenField[str]:
    """Returns the page tokens of a list by a text of at most so many characters, such as a name."""

    def unpack(packed: Sequence[Any]) -> str:
        [text] = packed
        if type(text) is not str:
            raise TypeError
        # A forged text may be one that the database refuses.
        if len(text.encode()) > 4 * most_characters or first_forbidden(text):
            raise ValueError
        return text

    return TokenField(pack=lambda text: [text], unpack=unpack)


def page_size(value: int) -> int:
    """Returns the maximum number of items of a page; 0 asks for the default, too many are reduced."""
    return min(value, limits.PAGE_ITEMS) or limits.PAGE_ITEMS_DEFAULT


def _checksum(content: bytes, size: int = _CHECKSUM_BYTES) -> bytes:
    return hashlib.sha256(content).digest()[:size]


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(token: str) -> bytes:
    """Returns the bytes of a token, none for text that is no token: its checksum fails."""
    if len(token) > limits.TOKEN_CHARACTERS:
        return b""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return b""
    # Decoding accepts what encoding never writes, such as bits beyond the last byte.
    return raw if _encoded(raw) == token else b""


def _pack_position(position: Cursor) -> Sequence[Any]:
    return since_epoch(position.created_at) // _MICROSECOND, str(position.id)


def _unpack_position(packed: Sequence[Any]) -> Cursor:
    microseconds, item_id = packed
    if type(item_id) is not str:
        raise TypeError
    # Postgres can hold every time that Python can.
    return Cursor(_EPOCH + _whole(microseconds) * _MICROSECOND, UUID(item_id))


def _unpack_revision(packed: Sequence[Any]) -> int:
    (revision,) = packed
    if not 1 <= _whole(revision) <= limits.REVISIONS:
        raise ValueError
    return _whole(revision)


def _unpack_sequence(packed: Sequence[Any]) -> int:
    (sequence,) = packed
    if not 0 <= _whole(sequence) <= limits.SEQUENCES:
        raise ValueError
    return _whole(sequence)


def _whole(number: Any) -> int:
    if type(number) is not int:
        raise TypeError
    return number


NEWEST_FIRST = TokenField(pack=_pack_position, unpack=_unpack_position)
"""Page tokens of lists by time, the newest first."""

OLDEST_FIRST = TokenField(name="cursor", may_differ=("batch_size",), pack=_pack_position, unpack=_unpack_position)
"""Cursors of exports."""

BY_REVISION = TokenField[int](pack=lambda revision: (revision,), unpack=_unpack_revision)
"""Page tokens of the revisions of a trace."""

BY_SEQUENCE = TokenField[int](
    name="resume_token", may_differ=("filter",), pack=lambda sequence: (sequence,), unpack=_unpack_sequence
)
"""Resume tokens of watches: the sequence number of the last event sent, whatever the filter was."""
