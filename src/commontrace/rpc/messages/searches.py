"""Translation of searches, their hits and their resume tokens."""

import math
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from commontrace.core.search.batches import Hit
from commontrace.core.search.result import SearchResult
from commontrace.domain import limits
from commontrace.domain.search.neighbours import Neighbour
from commontrace.domain.search.query import Query, QueryVector, Search, StopReason
from commontrace.domain.search.rankings import RANKED, Explanation, Ranking
from commontrace.domain.search.resumption import ApproximatePart, ResumePoint
from commontrace.domain.text import without_forbidden
from commontrace.domain.traces.trace_filter import TraceFilter
from commontrace.rpc.messages.filters import trace_filter_of
from commontrace.rpc.messages.traces import is_full, trace_message
from commontrace.rpc.messages.vectors import vector_array
from commontrace.rpc.paging.page_tokens import TokenField
from commontrace.v1 import trace_service_pb2

_STOP_REASON = {
    StopReason.LIMIT: trace_service_pb2.STOP_REASON_LIMIT,
    StopReason.EXHAUSTED: trace_service_pb2.STOP_REASON_EXHAUSTED,
    StopReason.MIN_SIMILARITY: trace_service_pb2.STOP_REASON_MIN_SIMILARITY,
    StopReason.SCAN_BUDGET: trace_service_pb2.STOP_REASON_SCAN_BUDGET,
}
_RANKING = {
    trace_service_pb2.RANKING_UNSPECIFIED: Ranking.COSINE,
    trace_service_pb2.RANKING_COSINE: Ranking.COSINE,
    trace_service_pb2.RANKING_TRUST_WEIGHTED: Ranking.TRUST_WEIGHTED,
    trace_service_pb2.RANKING_HYBRID: Ranking.HYBRID,
}
_UNFILTERED = TraceFilter()


def search(request: trace_service_pb2.SearchTracesRequest) -> Search:
    """Returns the domain search of a valid request."""
    limit = request.limit or limits.SEARCH_HITS_DEFAULT
    is_one_batch = limit <= min(batch_size(request), limits.BATCH_HITS_DEFAULT)
    return Search(
        query=_query(request),
        limit=limit,
        trace_filter=trace_filter_of(request.filter) if request.HasField("filter") else _UNFILTERED,
        min_similarity=request.min_similarity if request.HasField("min_similarity") else -1.0,
        exact=request.exact,
        ef_search=request.ef_search,
        fetches_full=is_full(request.view) if is_one_batch else None,
        resumed_at=RESUME_TOKEN.position(request),
        ranking=_RANKING[request.ranking],
    )


def batch_size(request: trace_service_pb2.SearchTracesRequest) -> int:
    """Returns the maximum number of hits in a message."""
    return request.batch_size or limits.BATCH_HITS_DEFAULT


def hit_message(hit: Hit, explanation: Explanation | None) -> trace_service_pb2.SearchHit:
    """Returns the message of a hit, with an explanation if there is one."""
    return trace_service_pb2.SearchHit(
        trace=trace_message(hit.trace),
        similarity=hit.similarity,
        explanation=None if explanation is None else _explanation_message(explanation),
    )


def summary_message(
    result: SearchResult, stop_reason: StopReason, *, hit_count: int, dropped_count: int
) -> trace_service_pb2.SearchSummary:
    """Returns the summary at the end of a search."""
    return trace_service_pb2.SearchSummary(
        stop_reason=_STOP_REASON[stop_reason],
        exact=result.exact,
        embedding_model_id=result.model_id,
        hit_count=hit_count,
        dropped_count=dropped_count,
        unknown_tags=result.trace_filter.unknown_tags,
    )


def _query(request: trace_service_pb2.SearchTracesRequest) -> Query:
    match request.WhichOneof("query"):
        case "text":
            return without_forbidden(request.text)
        case "trace_id":
            return UUID(request.trace_id)
        case _:
            return QueryVector(vector=vector_array(request.embedding), model_id=request.embedding.model_id)


def _explanation_message(explanation: Explanation) -> trace_service_pb2.HitExplanation:
    return trace_service_pb2.HitExplanation(
        score=explanation.score,
        vector_rank=explanation.vector_rank,
        lexical_rank=explanation.lexical_rank,
        trust_bonus=explanation.trust_bonus,
    )


def _pack(point: ResumePoint) -> Sequence[Any]:
    if point.place:
        return (point.place,)
    part, last = point.approximate, point.last
    return (
        None if part is None else (part.limit, part.ef_search, *_packed(part.last)),
        None if last is None else _packed(last),
    )


def _unpack(packed: Sequence[Any]) -> ResumePoint:
    if len(packed) == 1:
        [place] = packed
        if type(place) is not int or place not in range(1, RANKED):
            raise ValueError
        return ResumePoint(place=place)
    part, last = packed
    if part is None:
        return ResumePoint(last=_neighbour(last))
    limit, ef_search, *end = part
    if limit not in range(1, limits.SEARCH_HITS + 1) or ef_search not in range(limits.SEARCH_CANDIDATES + 1):
        raise ValueError
    return ResumePoint(
        approximate=ApproximatePart(limit=int(limit), ef_search=int(ef_search), last=_neighbour(end)),
        last=None if last is None else _neighbour(last),
    )


def _packed(neighbour: Neighbour) -> Iterable[Any]:
    # JSON keeps every bit of a Python float.
    return neighbour.distance, str(neighbour.trace_id)


def _neighbour(packed: Sequence[Any]) -> Neighbour:
    distance, trace_id = packed
    if type(distance) is not float or not math.isfinite(distance) or type(trace_id) is not str:
        raise TypeError
    return Neighbour(UUID(trace_id), distance)


RESUME_TOKEN = TokenField(name="resume_token", may_differ=("limit", "batch_size"), pack=_pack, unpack=_unpack)
"""Resume tokens of search streams (ADR 0011)."""
