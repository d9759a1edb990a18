"""Texts that are made to take a search for secrets long; most of them resemble secrets all over and hold none."""

import base64
import random
from collections.abc import Iterator, Sequence

from tests.support.planted_secrets import SECRETS, planted

_PREFIXES = [
    *("sk-", "sk-proj-", "ghp_", "glpat-", "AKIA", "AIza", "xoxb-", "eyJ", "SG.", "://", "password=", "api_key: "),
    *("-----BEGIN PRIVATE KEY-----", "12345678:AA", "M", ".", "a", "-", " "),
]
_REPEATED = [
    *("sk-", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "eyJ.eyJ.", "eyJaaaaaaaaaa.", "password=", "A", "M", "1"),
    *(
        "://",
        "://a:",
        "://a:bbbbbbbb@",
        "AKIA",
        "ghp_",
        "xoxb-",
        "12345678:",
        "\u200b",
        "\n",
        "=",
        "%3D",
        "\\u003",
        "é",
    ),
    *(f"api_key={'x' * 40} ", f"sk-{'x' * 24} ", f"AKIA{'A' * 16} ", f"{'M' * 24}.aaaaaa.", "Authorization: Bearer "),
    *("secret key secret ", "AccountKey=", f"SG.{'a' * 20}.", "sk-\u200bM", "authorization", "&sig=", "-", "gl", "8Q~"),
    *("dapi", f"-----BEGIN PRIVATE KEY-----{'- ' * 80}"),
]
# Each of these is another text for each number.
_NUMBERED = {
    "placeholders": "ghp_{0:036d} ",
    "words": "sk-placeholder{0:09d} ",
    "tokens that are none": "eyJ{0:010d}.eyJ{0:010d}.{0:016d} ",
    "passwords": "://u:password{0:06d}@h ",
    "names": 'api_key = "placeholder_a1b2c3d4e5f6g7_{0:06d}" ',
}


def hostile_texts(size: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Yields names and texts of so many characters; the seed decides about those that are made by chance."""
    for unit in _REPEATED:
        yield f"{unit[:30]!r} repeated", _repeated(unit, size)
    for number in range(4):
        yield f"prefixes by chance, {number}", _by_chance(_PREFIXES, size, seed + number)
    yield "short prefixes by chance", _by_chance(("sk-", "a", "M", "-", "eyJ", "AK"), size, seed)
    yield "signs by chance", _by_chance("MNOsk-_.:/@=aA1eyJ ", size, seed)
    yield "base64", base64.b64encode(random.Random(seed).randbytes(size)).decode()[:size]  # noqa: S311
    for name, form in _NUMBERED.items():
        count = size // len(form.format(0)) + 1
        yield f"different {name}", "".join(map(form.format, range(count)))[:size]
    # Much of the way to each is gone, and for nothing.
    yield "near misses", _repeated(" ".join(_cut(planted(rule, seed)) for rule in SECRETS), size)
    # Each rule is held against all of it.
    once = " ".join(f"{planted(rule, seed)[:-16]}EXAMPLE{'x' * 9}" for rule in SECRETS)
    yield "a placeholder of each kind", _repeated(once, size)
    yield "a placeholder of each kind, then a letter", (_repeated(once, size // 2) + "a" * size)[:size]


def _repeated(unit: str, size: int) -> str:
    return (unit * (size // len(unit) + 1))[:size]


def _by_chance(parts: Sequence[str], size: int, seed: int) -> str:
    return "".join(random.Random(seed).choices(parts, k=size))[:size]  # noqa: S311


def _cut(secret: str) -> str:
    return f"{secret[: len(secret) * 2 // 3]}*"
