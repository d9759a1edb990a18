"""API keys: `ct_`, the id in 32 hex digits, `_`, 256 random bits and a CRC-32 in 43 and 6 base62 digits (ADR 0027).

The prefix lets scanners find leaked keys, the checksum refuses a mangled key without a query, and the id finds its row.
Only the SHA-256 of the whole is stored: random bits need no slow hash.
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from commontrace.domain.errors import InvalidKey

_FORM = re.compile(r"ct_([0-9a-f]{32})_[0-9A-Za-z]{43}([0-9A-Za-z]{6})")
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_BITS, _SECRET_DIGITS, _CHECKSUM_DIGITS = 256, 43, 6


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """A key and its id. The whole key is shown once, to the user whom it is created for."""

    id: UUID
    text: str = field(repr=False)

    @property
    def digest(self) -> bytes:
        """The digest that is stored of the key."""
        return key_digest(self.text)


def new_key() -> ApiKey:
    """Returns a new random key."""
    key_id = uuid4()
    unchecked = f"ct_{key_id.hex}_{_base62(secrets.randbits(_SECRET_BITS), _SECRET_DIGITS)}"
    return ApiKey(id=key_id, text=unchecked + _checksum(unchecked))


def parse_key(text: str) -> ApiKey:
    """Parses a key. Raises InvalidKey."""
    form = _FORM.fullmatch(text)
    if form is None or _checksum(text[:-_CHECKSUM_DIGITS]) != form[2]:
        raise InvalidKey("MALFORMED")
    return ApiKey(id=UUID(hex=form[1]), text=text)


def key_digest(text: str) -> bytes:
    """Returns the SHA-256 of a text that may be a key."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECKSUM_DIGITS)


def _base62(number: int, digits: int) -> str:
    written = ""
    for _ in range(digits):
        number, digit = divmod(number, len(_DIGITS))
        written = _DIGITS[digit] + written
    return written
