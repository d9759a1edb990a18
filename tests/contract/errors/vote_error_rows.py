"""Error rows for the fields of the calls of VoteService."""

from collections.abc import Iterator
from typing import Any

from commontrace.domain import limits
from commontrace.rpc.paging.page_tokens import NEWEST_FIRST
from commontrace.v1 import vote_pb2
from commontrace.v1 import vote_service_pb2 as pb
from tests.contract.errors.error_row import (
    CAST_VOTE,
    GET_VOTE,
    LIST_VOTES,
    NO_IDS,
    RETRACT_VOTE,
    UNKNOWN_ID,
    Code,
    Row,
    invalid,
    malformed,
)

_REQUESTS: dict[str, Any] = {
    CAST_VOTE: pb.CastVoteRequest,
    RETRACT_VOTE: pb.RetractVoteRequest,
    GET_VOTE: pb.GetVoteRequest,
    LIST_VOTES: pb.ListVotesRequest,
}
_OTHER_ID = "123e4567-e89b-12d3-a456-426614174001"
_BEYOND = (-(2**31), -1, 2**31 - 1)


def vote_rows() -> Iterator[Row]:
    for rpc, request in _REQUESTS.items():
        valid = _valid(rpc)
        yield invalid(rpc, "no id", "FIELD_REQUIRED", "trace_id", request(**valid))
        for name, value in NO_IDS.items():
            yield invalid(rpc, f"id with {name}", "MALFORMED_ID", "trace_id", request(trace_id=value, **valid))
        yield malformed(rpc, "id not UTF-8", b"\x0a\x01\xff")
        unknown = request(trace_id=UNKNOWN_ID, **valid)
        yield Row(name="unknown id", rpc=rpc, request=unknown, code=Code.NOT_FOUND, reason="TRACE_NOT_FOUND")
    for rpc in (CAST_VOTE, RETRACT_VOTE):
        for name, value in NO_IDS.items():
            bad = _REQUESTS[rpc](trace_id=UNKNOWN_ID, request_id=value, **_valid(rpc))
            yield invalid(rpc, f"request id with {name}", "MALFORMED_ID", "request_id", bad)
    yield from _cast_rows()
    yield from _list_rows()


def _valid(rpc: str) -> dict[str, Any]:
    """What else the request must hold."""
    return {"type": vote_pb2.VOTE_TYPE_UP} if rpc == CAST_VOTE else {}


def _cast_rows() -> Iterator[Row]:
    yield invalid(CAST_VOTE, "no type", "FIELD_REQUIRED", "type", pb.CastVoteRequest(trace_id=UNKNOWN_ID))
    for value in (-1, 3, *_BEYOND):
        yield invalid(CAST_VOTE, f"type {value}", "UNKNOWN_ENUM_VALUE", "type", _up(type=value))
    for value in (-1, 6, *_BEYOND):
        yield invalid(CAST_VOTE, f"UP, reason {value}", "UNKNOWN_ENUM_VALUE", "reason", _up(reason=value))
        yield invalid(CAST_VOTE, f"DOWN, reason {value}", "UNKNOWN_ENUM_VALUE", "reason", _down(reason=value))
    yield invalid(CAST_VOTE, "DOWN without reason", "FIELD_REQUIRED", "reason", _down())
    for reason in set(vote_pb2.DownReason.values()) - {vote_pb2.DOWN_REASON_UNSPECIFIED}:
        yield invalid(CAST_VOTE, f"UP for reason {reason}", "FIELD_NOT_ALLOWED", "reason", _up(reason=reason))
    too_long = _up(comment="é" * (limits.VOTE_COMMENT_CHARACTERS + 1))
    yield invalid(CAST_VOTE, "comment too long", "FIELD_TOO_LONG", "comment", too_long)
    for character in "\0\x1b\x80\u202e\u2066\U000e0041":
        name = f"U+{ord(character):04X} in the comment"
        yield invalid(CAST_VOTE, name, "FORBIDDEN_CHARACTER", "comment", _up(comment=f"a{character}b"))
    for revision in (-1, -(2**31)):
        yield invalid(CAST_VOTE, f"revision {revision}", "FIELD_OUT_OF_RANGE", "revision", _up(revision=revision))
    yield malformed(CAST_VOTE, "comment not UTF-8", b"\x22\x01\xff")


def _list_rows() -> Iterator[Row]:
    for size in (-1, -(2**31)):
        request = pb.ListVotesRequest(trace_id=UNKNOWN_ID, page_size=size)
        yield invalid(LIST_VOTES, f"page size {size}", "FIELD_OUT_OF_RANGE", "page_size", request)
    other = pb.ListVotesRequest(trace_id=_OTHER_ID)
    of_another = NEWEST_FIRST.token(other, NEWEST_FIRST.unpack([0, _OTHER_ID]))
    for name, token in {"a word": "next", "NUL": "\0", "of another request": of_another}.items():
        request = pb.ListVotesRequest(trace_id=UNKNOWN_ID, page_token=token)
        yield invalid(LIST_VOTES, f"token {name}", "INVALID_PAGE_TOKEN", "page_token", request)


def _up(**changes: Any) -> pb.CastVoteRequest:
    fields: dict[str, Any] = {"trace_id": UNKNOWN_ID, "type": vote_pb2.VOTE_TYPE_UP}
    return pb.CastVoteRequest(**(fields | changes))


def _down(**changes: Any) -> pb.CastVoteRequest:
    return _up(type=vote_pb2.VOTE_TYPE_DOWN, **changes)
