"""Error rows for the filters, rankings and resume tokens of SearchTraces."""

from collections.abc import Iterator
from math import inf, nan, nextafter
from typing import Any

from commontrace.rpc.messages.searches import RESUME_TOKEN
from commontrace.rpc.paging.page_tokens import BY_REVISION, TokenField
from commontrace.v1 import trace_filter_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.contract.errors.error_row import SEARCH, UNKNOWN_ID, Code, Row, delimited, invalid, malformed
from tests.contract.errors.list_error_rows import filter_rows

_NO_TOKENS = {"a word": "next", "spaces": "   ", "NUL": "\0", "an emoji": "\N{SNAKE}", "a megabyte": "A" * 1_000_000}
_END = [0.25, UNKNOWN_ID]
_NO_POINTS: dict[str, Any] = {
    "nothing": [],
    "a number": 1,
    "null": None,
    "an object": {"a": 1, "b": 2},
    "no end": [None, None],
    "an end without id": [None, [0.25]],
    "an end with a bad id": [None, [0.25, "trace"]],
    "an end with a number for an id": [None, [0.25, 1]],
    "an end at a whole number": [None, [1, UNKNOWN_ID]],
    "an end at true": [None, [True, UNKNOWN_ID]],
    "an end at NaN": [None, [nan, UNKNOWN_ID]],
    "an end at infinity": [None, [inf, UNKNOWN_ID]],
    "a limit of none": [[0, 64, *_END], None],
    "a limit too large": [[1001, 64, *_END], None],
    "no candidates": [[10, -1, *_END], None],
    "too many candidates": [[10, 1001, *_END], None],
    "a text for a limit": [["10", 64, *_END], None],
    "a part cut short": [[10, 64], None],
    "a text for a part": ["part", _END],
    "too much": [None, _END, None],
    "no place": [0],
    "a place beyond the last": [100],
    "a place before the first": [-1],
    "a text for a place": ["7"],
    "true for a place": [True],
}
_ANY_POINT: TokenField[Any] = TokenField(
    name="resume_token", may_differ=("limit", "batch_size"), pack=lambda point: point, unpack=lambda point: point
)


def search_rows() -> Iterator[Row]:
    yield from filter_rows(SEARCH, lambda having: pb.SearchTracesRequest(text="a", filter=having))
    for number in (-(2**31), -1, 1001, 2**31 - 1):
        request = pb.SearchTracesRequest(text="a", ef_search=number)
        yield invalid(SEARCH, f"ef_search {number}", "FIELD_OUT_OF_RANGE", "ef_search", request)
    for least in (nan, inf, -inf, nextafter(1, 2), nextafter(-1, -2), 1e300):
        request = pb.SearchTracesRequest(text="a", min_similarity=least)
        yield invalid(SEARCH, f"min_similarity {least}", "FIELD_OUT_OF_RANGE", "min_similarity", request)
    for least in (nan, inf, -inf, -0.5, nextafter(0, -1), nextafter(1, 2)):
        request = pb.SearchTracesRequest(text="a", min_probability=least)
        yield invalid(SEARCH, f"min_probability {least}", "FIELD_OUT_OF_RANGE", "min_probability", request)
    request = pb.SearchTracesRequest(trace_id=UNKNOWN_ID, min_probability=0.1)
    yield invalid(SEARCH, "min_probability without a text", "FIELD_NOT_ALLOWED", "min_probability", request)
    yield from _rankings()
    yield malformed(SEARCH, "filter cut short", delimited(7, b"\x0a\x05ab"))
    yield malformed(SEARCH, "resume_token not UTF-8", b"\x5a\x01\xff")
    yield from _tokens()


def not_calibrated_rows() -> list[Row]:
    """Of a server whose model has no calibration."""
    requests = {
        "min_probability": pb.SearchTracesRequest(text="a", min_probability=0.1),
        "min_probability, by words": pb.SearchTracesRequest(text="a", min_probability=1, ranking=pb.RANKING_HYBRID),
    }
    return [
        Row(name=name, rpc=SEARCH, request=request, code=Code.FAILED_PRECONDITION, reason="NOT_CALIBRATED")
        for name, request in requests.items()
    ]


def _rankings() -> Iterator[Row]:
    for ranking in (pb.RANKING_HYBRID, pb.RANKING_TRUST_WEIGHTED, pb.RANKING_BEST):
        request = pb.SearchTracesRequest(text="a", ranking=ranking, limit=101)
        yield invalid(SEARCH, f"limit 101 of ranking {ranking}", "FIELD_OUT_OF_RANGE", "limit", request)
    for number in (-1, 5, 2**31 - 1):
        unknown: Any = number
        request = pb.SearchTracesRequest(text="a", ranking=unknown)
        yield invalid(SEARCH, f"ranking {number}", "UNKNOWN_ENUM_VALUE", "ranking", request)
    for ranking in (pb.RANKING_HYBRID, pb.RANKING_BEST):
        request = pb.SearchTracesRequest(trace_id=UNKNOWN_ID, ranking=ranking)
        yield invalid(SEARCH, f"ranking {ranking} without a text", "FIELD_NOT_ALLOWED", "ranking", request)


def _tokens() -> Iterator[Row]:
    def refused(name: str, request: pb.SearchTracesRequest) -> Row:
        return invalid(SEARCH, f"resume_token {name}", "INVALID_PAGE_TOKEN", "resume_token", request)

    for name, token in _NO_TOKENS.items():
        yield refused(f"of {name}", pb.SearchTracesRequest(text="a", resume_token=token))
    valid = pb.SearchTracesRequest(text="a")
    for name, point in _NO_POINTS.items():
        token = _ANY_POINT.token(valid, point)
        yield refused(f"that holds {name}", pb.SearchTracesRequest(text="a", resume_token=token))
    token = _ANY_POINT.token(valid, [None, _END])
    others: dict[str, dict[str, Any]] = {
        "text": {"text": "b"},
        "query": {"trace_id": UNKNOWN_ID},
        "view": {"view": 1},
        "filter": {"filter": trace_filter_pb2.TraceFilter(include_superseded=True)},
        "min_similarity": {"min_similarity": 0.0},
        "exact": {"exact": True},
        "ef_search": {"ef_search": 64},
        "ranking": {"ranking": pb.RANKING_HYBRID},
        "explain": {"explain": True},
        "min_probability": {"min_probability": 0.1},
    }
    unbound = {"limit", "batch_size", RESUME_TOKEN.name}
    assert set(others) | unbound > set(pb.SearchTracesRequest.DESCRIPTOR.fields_by_name) - {"embedding", "trace_id"}
    for name, changes in others.items():
        request = pb.SearchTracesRequest(**({"text": "a", "resume_token": token} | changes))
        yield refused(f"of a request with another {name}", request)
    of_a_list = BY_REVISION.token(pb.ListTraceRevisionsRequest(), 1)
    yield refused("of a list", pb.SearchTracesRequest(text="a", resume_token=of_a_list))
