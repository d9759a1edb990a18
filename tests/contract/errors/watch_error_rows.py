"""Error rows for WatchTraces."""

from collections.abc import Iterator, Sequence
from typing import Any

from commontrace.rpc.paging.page_tokens import BY_REVISION, BY_SEQUENCE, TokenField
from commontrace.v1 import trace_event_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.contract.errors.error_row import WATCH, Code, Row, invalid, malformed

_NO_TOKENS = {"a word": "next", "spaces": "   ", "NUL": "\0", "an emoji": "\N{SNAKE}", "a megabyte": "A" * 1_000_000}
_NO_SEQUENCES: dict[str, Any] = {
    "nothing": [],
    "two numbers": [1, 2],
    "an object": {"1": 2},
    "a text": ["1"],
    "a truth": [True],
    "a fraction": [1.0],
    "less than none": [-1],
    "more than the database can count": [2**63],
    "far more": [10**400],
}
_ANYTHING = TokenField[Sequence[Any]](
    name="resume_token", may_differ=(), pack=lambda where: where, unpack=lambda where: where
)


def watch_rows() -> Iterator[Row]:
    asked = trace_event_pb2.WatchTracesRequest()
    tokens = {f"of {name}": token for name, token in _NO_TOKENS.items()}
    tokens |= {f"that holds {name}": _ANYTHING.token(asked, where) for name, where in _NO_SEQUENCES.items()}
    tokens["of a list"] = BY_REVISION.token(pb.ListTraceRevisionsRequest(), 1)
    for name, token in tokens.items():
        request = trace_event_pb2.WatchTracesRequest(resume_token=token)
        yield invalid(WATCH, f"token {name}", "INVALID_PAGE_TOKEN", "resume_token", request)
    yield malformed(WATCH, "token not UTF-8", b"\x0a\x01\xff")
    for sequence in (1, 2**63 - 1):
        yield Row(
            name=f"token of event {sequence}, which nobody has drawn",
            rpc=WATCH,
            request=trace_event_pb2.WatchTracesRequest(resume_token=BY_SEQUENCE.token(asked, sequence)),
            code=Code.OUT_OF_RANGE,
            reason="WATCH_TOKEN_OUT_OF_RANGE",
        )
