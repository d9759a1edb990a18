"""The error table: every way a caller can fail each RPC, and every state of the server that fails one."""

from collections.abc import Iterator
from random import Random

from commontrace.domain import limits
from commontrace.domain.caller import SEED_EMAIL
from tests.contract.errors.edit_error_rows import edit_rows
from tests.contract.errors.error_row import SEARCH, VALID, WATCH, Code, Metadata, Row, delimited, malformed
from tests.contract.errors.export_error_rows import export_rows
from tests.contract.errors.import_error_rows import import_rows
from tests.contract.errors.key_error_rows import malformed_key_rows
from tests.contract.errors.list_error_rows import list_rows
from tests.contract.errors.namespace_error_rows import namespace_rows
from tests.contract.errors.search_error_rows import not_calibrated_rows, search_rows
from tests.contract.errors.secret_error_rows import secret_rows
from tests.contract.errors.tag_error_rows import tag_rows
from tests.contract.errors.trace_error_rows import create_trace_rows, get_trace_rows, search_traces_rows
from tests.contract.errors.vote_error_rows import vote_rows
from tests.contract.errors.watch_error_rows import watch_rows

_MALFORMED = {
    "a varint cut short": b"\x80",
    "a value cut short": b"\x08\xff\xff\xff",
    "a text cut short": b"\x0a\x05ab",
    "a wire type that does not exist": b"\x0f",
    "a varint of 11 bytes": b"\x08" + b"\xff" * 10 + b"\x01",
    "a length beyond 2 GiB": b"\x0a\xff\xff\xff\xff\x0f",
    "a group never ended": b"\xa3\x06",
    "groups nested 200 deep": b"\xa3\x06" * 200 + b"\xa4\x06" * 200,
    "noise": b"\xff" + Random(0).randbytes(200),  # noqa: S311 - not a secret
}
_USERS = {
    "empty": "",
    "blank": " ",
    "without @": "ada.example.org",
    "without host": "ada@",
    "without name": "@example.org",
    "without dot": "ada@localhost",
    "with an empty label": "ada@example..org",
    "with a leading dot": "ada@.example.org",
    "with a trailing dot": "ada@example.org.",
    "with two @": "ada@bob@example.org",
    "with a name": "Ada <ada@example.org>",
    "with quotes": '"ada"@example.org',
    "with a space": "ada lovelace@example.org",
    "of two, by comma": "ada@example.org,bob@example.org",
    "of two, by semicolon": "ada@example.org;bob@example.org",
    "too long by one": "a" * (limits.EMAIL_CHARACTERS + 1 - len("@example.org")) + "@example.org",
    "far too long": "a" * 5000 + "@example.org",
}
_USER_KEY = "x-commontrace-user"
_UNUSED_FIELD = 1000


def caller_rows() -> list[Row]:
    rows = [
        *create_trace_rows(),
        *get_trace_rows(),
        *search_traces_rows(),
        *search_rows(),
        *list_rows(),
        *export_rows(),
        *edit_rows(),
        *vote_rows(),
        *tag_rows(),
        *import_rows(),
        *secret_rows(),
        *watch_rows(),
        *namespace_rows(),
    ]
    for rpc in VALID:
        rows += (malformed(rpc, name, payload) for name, payload in _MALFORMED.items())
        rows.append(malformed(rpc, "no message at all", None))
        rows += _refused_users(rpc)
        rows += malformed_key_rows(rpc)
        rows += _too_large(rpc)
    return rows


def server_rows() -> dict[str, list[Row]]:
    """The rows by the state the server is in."""
    states = {
        "nobody listens": (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", tuple(VALID)),
        "database dropped": (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", tuple(VALID)),
        "pool held": (Code.RESOURCE_EXHAUSTED, "OVERLOADED", tuple(VALID)),
        "embedder closed": (Code.UNAVAILABLE, "EMBEDDER_UNAVAILABLE", (SEARCH,)),
        "schema broken": (Code.INTERNAL, "INTERNAL", tuple(VALID)),
    }
    rows = {
        state: [Row(name=state, rpc=rpc, request=VALID[rpc], code=code, reason=reason) for rpc in rpcs]
        for state, (code, reason, rpcs) in states.items()
    }
    return rows | {"model not calibrated": not_calibrated_rows()}


def stopping_rows() -> list[Row]:
    """What ends when the server stops."""
    return [
        Row(name="stopping", rpc=rpc, request=VALID[rpc], code=Code.UNAVAILABLE, reason="SERVER_STOPPING")
        for rpc in (WATCH,)
    ]


def _refused_users(rpc: str) -> Iterator[Row]:
    claims: dict[str, Metadata] = {name: ((_USER_KEY, value),) for name, value in _USERS.items()}
    claims["sent twice"] = ((_USER_KEY, "ada@example.org"), (_USER_KEY, "bob@example.org"))
    claims["sent twice alike"] = ((_USER_KEY, "ada@example.org"),) * 2
    for name, metadata in claims.items():
        yield Row(
            name=f"user {name}",
            rpc=rpc,
            request=VALID[rpc],
            code=Code.UNAUTHENTICATED,
            reason="INVALID_USER",
            metadata=metadata,
        )
    for address in (SEED_EMAIL, SEED_EMAIL.upper(), SEED_EMAIL.title(), f" {SEED_EMAIL} "):
        yield Row(
            name=f"user {address!r}",
            rpc=rpc,
            request=VALID[rpc],
            code=Code.PERMISSION_DENIED,
            reason="USER_RESERVED",
            metadata=((_USER_KEY, address),),
        )


def _too_large(rpc: str) -> Iterator[Row]:
    # Fields the server does not know count as well.
    valid = VALID[rpc].SerializeToString()
    for size in (limits.REQUEST_BYTES + 1, limits.RECEIVED_BYTES, limits.RECEIVED_BYTES + 1):
        yield Row(
            name=f"{size} bytes",
            rpc=rpc,
            request=padded(valid, size),
            code=Code.RESOURCE_EXHAUSTED,
            reason="REQUEST_TOO_LARGE" if size <= limits.RECEIVED_BYTES else "",
        )


def padded(payload: bytes, size: int) -> bytes:
    """The same message in `size` bytes (128 KiB at least), the rest in a field that nobody knows."""
    for overhead in (5, 6):
        unknown = delimited(_UNUSED_FIELD, bytes(size - len(payload) - overhead))
        if len(payload) + len(unknown) == size:
            return payload + unknown
    raise AssertionError(f"{size} bytes cannot be made")
