"""Error contract: checks of a failure's code, reason, metadata and text."""

import re
from collections.abc import Iterator
from typing import Any, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from commontrace.rpc.error_codes import DOMAIN
from tests.contract.errors.error_row import Row
from tests.support.repository import REPOSITORY

_PROTO = REPOSITORY / "protos/commontrace/v1/error_reason.proto"
_TEXT_BYTES = 1024
# Clients refuse trailers of more than 8 KiB. Both parts grow on the way: the text by percent signs, the details by
# base64.
_TRAILER_BYTES = 8000
# What is nobody's business: where the code stands, what it is made of, what it asks the database and where that is.
LEAK = re.compile(
    r"traceback|exception|<class |asyncpg|sqlalchemy|postgres|grpc|\.py\b|\b(select|insert|update|delete)\b|relation"
    r"|column|127\.0\.0\.1",
    re.IGNORECASE,
)


class Promise:
    """The comment of a reason in error_reason.proto: its code, its metadata's keys, whether to retry, who has it."""

    def __init__(self, comment: str) -> None:
        self.code = grpc.StatusCode[comment.split(".")[0]]
        # No keys are `embedding`, the field to search by instead, and the letters of which names are made.
        keys = set(re.findall("`([a-z_]+)`", comment)) - {"embedding", "a", "z"}
        # Of two keys with `or` between them, a failure has one.
        one_of = re.search("`([a-z_]+)` or `([a-z_]+)`", comment)
        self.keys = [keys] if one_of is None else [keys - {key} for key in one_of.groups()]
        self.retry = "Retry" in comment
        self.of_items_only = "never of a call" in comment


_LONGEST_RETRY = {"minute": 60, "day": 86_400}
"""Until a quota begins anew, in seconds; everything else is worth a try within five."""


def _promises() -> dict[str, Promise]:
    documented = re.findall(r"((?: +//.*\n)+) +ERROR_REASON_(\w+) = [1-9]", _PROTO.read_text())
    return {reason: Promise(re.sub(r"\s*// ", " ", comment).strip()) for comment, reason in documented}


PROMISES = _promises()
"""By reason."""


def broken_promises(row: Row, error: grpc.aio.AioRpcError | None) -> Iterator[str]:
    """Yields what the failure should be and is not."""
    if error is None:
        yield "succeeded"
    elif error.code() is not row.code:
        yield f"has the code {error.code()}: {error.details()}"
    elif row.reason:
        yield from _broken_text(row, error)
        yield from _broken_info(row, error)
        yield from _broken_details(row, error)
    elif details(error):
        yield "has details"


def details(error: grpc.aio.AioRpcError, kind: Any = None) -> list[Any]:
    """Returns the details of one kind, or all as they were packed."""
    status = rpc_status.from_call(cast("grpc.Call", error))
    packed = list(status.details) if status is not None else []
    if kind is None:
        return packed
    found = [kind() for detail in packed if detail.Is(kind.DESCRIPTOR)]
    for unpacked, detail in zip(found, (d for d in packed if d.Is(kind.DESCRIPTOR)), strict=True):
        detail.Unpack(unpacked)
    return found


def _broken_text(row: Row, error: grpc.aio.AioRpcError) -> Iterator[str]:
    said = error.details() or ""
    if not said.startswith(f"{row.reason}: ") or len(said.encode()) > _TEXT_BYTES or LEAK.search(said):
        yield f"says {said!r}"
    percent_encoded = sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in said.encode())
    encoded = sum(detail.ByteSize() for detail in details(error)) + len(said.encode())
    if percent_encoded + encoded * 4 // 3 > _TRAILER_BYTES:
        yield f"takes {percent_encoded} + {encoded * 4 // 3} bytes of trailers"


def _broken_info(row: Row, error: grpc.aio.AioRpcError) -> Iterator[str]:
    infos = details(error, error_details_pb2.ErrorInfo)
    if len(infos) != 1 or (infos[0].domain, infos[0].reason) != (DOMAIN, row.reason):
        yield f"has the ErrorInfo {infos}"
        return
    metadata = dict(infos[0].metadata)
    # A tag or a path may be empty: that is what is wrong with it.
    empty = {key for key, value in metadata.items() if not value} - {"tag", "path"}
    if set(metadata) not in PROMISES[row.reason].keys or empty or metadata.get("field", "") != row.field:
        yield f"has the metadata {metadata}"


def _broken_details(row: Row, error: grpc.aio.AioRpcError) -> Iterator[str]:
    violations = [v for bad in details(error, error_details_pb2.BadRequest) for v in bad.field_violations]
    if [(v.field, v.reason) for v in violations[:1]] != ([(row.field, row.reason)] if row.field else []):
        yield f"has the violations {violations}"
    if any(not v.description or LEAK.search(v.description) for v in violations):
        yield f"describes the violations {violations}"
    delays = [info.retry_delay.ToTimedelta() for info in details(error, error_details_pb2.RetryInfo)]
    pers = [info.metadata.get("per", "") for info in details(error, error_details_pb2.ErrorInfo)]
    longest = max((_LONGEST_RETRY.get(per, 5) for per in pers), default=5)
    if len(delays) != PROMISES[row.reason].retry or any(not 0 < delay.total_seconds() <= longest for delay in delays):
        yield f"says to retry after {delays}"
