"""Classification of candidate values: secrets or placeholders (ADR 0030)."""

import base64
import binascii
import math
from collections import Counter

# Placeholders contain one of these, in any case. None is short enough to turn up by chance.
_MARKERS = (
    b"example",
    b"sample",
    b"placeholder",
    b"redacted",
    b"changeme",
    b"change-me",
    b"change_me",
    b"dummy",
    b"notreal",
    b"notareal",
    b"xxxxx",
    b"*****",
    b"eby8vdm02xnocqflquwj",  # the key that Azure's storage emulator is documented with
)
# Shorter marks of placeholders, which count only between hyphens or underscores.
_WORDS = {b"your", b"fake", b"test", b"demo", b"mock", b"some", b"insert", b"replace", b"todo", b"abc123", b"here"}
# Passwords that are placeholders or well known.
_PASSWORDS = (
    b"password",
    b"passwd",
    b"passw0rd",
    b"p4ssw0rd",
    b"secret",
    b"s3cret",
    b"s3cr3t",
    b"postgres",
    b"hunter2",
)
_TEMPLATES = (b"$", b"{", b"[", b"(", b"*", b"%(")
_LOCAL_HOSTS = (b"localhost", b"127.", b"0.0.0.0", b"host.docker.internal")
_RESERVED_ENDS = (b"example", b"example.com", b"example.org", b"example.net", b"test", b"invalid", b"localhost")

# Bits per character. Of 300,000 random values of 16 characters, the least that a rule asks for, one has less.
_LEAST_ENTROPY = 2.5
_LEAST_RUN = 16
_SEPARATED = bytes.maketrans(b"_+/=.~-", b"       ")
# Bytes of a value that are examined: its end may be far away.
_EXAMINED = 128


def is_random(value: bytes) -> bool:
    """Tells whether the value is random: no word, sequence, repetition or documented example."""
    value = value[:_EXAMINED]
    lower = value.lower()
    return not (_names_itself(lower) or _is_sequence(lower) or _is_words(value)) and _entropy(value) >= _LEAST_ENTROPY


def is_opaque(value: bytes) -> bool:
    """Tells the same of a value without a format of its own: it must also mix 16 letters and digits in a row."""
    if value.startswith(b"eyJ") and (value.count(b".") < 2 or len(value.rpartition(b".")[2]) < _LEAST_RUN):
        # A truncated JSON Web Token, as in documentation.
        return False
    return any(map(_is_mixed, value[:_EXAMINED].translate(_SEPARATED).split())) and is_random(value)


def is_authorization(value: bytes) -> bool:
    """Tells the same of the credentials of an Authorization header: of the password, with basic authentication."""
    user_and_password = _decoded(value)
    if b":" in user_and_password and user_and_password.isascii() and not value.startswith(b"eyJ"):
        return is_password(user_and_password + b"@")
    return is_opaque(value)


def is_signed_object(header_and_payload: bytes) -> bool:
    """Tells whether `eyJ` and this begin a JSON Web Token other than the well-known example."""
    header, payload = map(_decoded, (b"eyJ" + header_and_payload).split(b"."))
    return header.startswith(b"{") and b'"alg"' in header and b'"John Doe"' not in payload


def is_password(authority: bytes) -> bool:
    """Tells whether `user:password@host` is real: no well-known word, no template, no example host."""
    credentials, _, host = authority.rpartition(b"@")
    user, _, password = credentials.partition(b":")
    lower, host = password.lower(), host.lower().rstrip(b".")
    if host.startswith(_LOCAL_HOSTS) or any(host == end or host.endswith(b"." + end) for end in _RESERVED_ENDS):
        return False
    if lower == user.lower() or any(word in lower for word in _PASSWORDS):
        return False
    if password.startswith(_TEMPLATES) or b"${" in password or b"{{" in password:
        return False
    return not (_names_itself(lower) or _is_sequence(lower) or _is_words(password))


def _names_itself(lower: bytes) -> bool:
    return any(marker in lower for marker in _MARKERS) or not _WORDS.isdisjoint(lower.replace(b"_", b"-").split(b"-"))


def _is_sequence(lower: bytes) -> bool:
    """Tells whether most characters repeat or continue the one before: `xxxx`, `abcd`, `1234`, `1a2b3c`."""
    return _goes_on(lower, 1) >= 0.5 or _goes_on(lower, 2) >= 0.7


def _goes_on(lower: bytes, step: int) -> float:
    """Returns the share of characters whose `step`-th follower is the same or the next one."""
    following = sum(later - earlier in (0, 1) for earlier, later in zip(lower, lower[step:], strict=False))
    return following / max(1, len(lower) - step)


def _is_words(value: bytes) -> bool:
    """Tells whether it has lower-case letters alone, as placeholders do and no issuer's secrets."""
    letters = value.replace(b"-", b"").replace(b"_", b"")
    return letters.isalpha() and letters.islower()


def _is_mixed(run: bytes) -> bool:
    digits = len(run) - len(run.translate(None, b"0123456789"))
    return len(run) >= _LEAST_RUN and 2 <= digits <= len(run) - 2


def _entropy(value: bytes) -> float:
    """Returns the Shannon entropy of the value's own byte frequencies, in bits per byte."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())


def _decoded(part: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        return b""
