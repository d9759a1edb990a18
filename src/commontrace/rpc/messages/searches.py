"""Search messages: the request, its hits, its summary, and the resume token (ADR 0011)."""

import math
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from commontrace.core.search.result import Hit, SearchResult
from commontrace.domain import limits
from commontrace.domain.search.neighbours import ApproximateStep, Neighbour, ResumePoint
from commontrace.domain.search.query import Query, QueryVector, Search, StopReason
from commontrace.domain.search.rankings import RANKED, Explanation, Ranking
from commontrace.domain.search.verdict import Verdict, verdict_of
from commontrace.domain.text import without_forbidden
from commontrace.domain.traces.trace_filter import UNFILTERED
from commontrace.rpc.messages.filters import trace_filter_of
from commontrace.rpc.messages.traces import fill_trace, is_full
from commontrace.rpc.messages.vectors import vector_array
from commontrace.rpc.paging.page_tokens import TokenField
from commontrace.v1 import trace_service_pb2

_STOP_REASON = {
    StopReason.LIMIT: trace_service_pb2.STOP_REASON_LIMIT,
    StopReason.EXHAUSTED: trace_service_pb2.STOP_REASON_EXHAUSTED,
    StopReason.MIN_SIMILARITY: trace_service_pb2.STOP_REASON_MIN_SIMILARITY,
    StopReason.SCAN_BUDGET: trace_service_pb2.STOP_REASON_SCAN_BUDGET,
    StopReason.MIN_PROBABILITY: trace_service_pb2.STOP_REASON_MIN_PROBABILITY,
}
_VERDICT = {
    Verdict.LIKELY: trace_service_pb2.VERDICT_LIKELY,
    Verdict.UNCERTAIN: trace_service_pb2.VERDICT_UNCERTAIN,
    Verdict.UNLIKELY: trace_service_pb2.VERDICT_UNLIKELY,
}
_RANKING = {
    trace_service_pb2.RANKING_UNSPECIFIED: Ranking.COSINE,
    trace_service_pb2.RANKING_COSINE: Ranking.COSINE,
    trace_service_pb2.RANKING_TRUST_WEIGHTED: Ranking.TRUST_WEIGHTED,
    trace_service_pb2.RANKING_HYBRID: Ranking.HYBRID,
    trace_service_pb2.RANKING_BEST: Ranking.BEST,
}


def search(request: trace_service_pb2.SearchTracesRequest) -> Search:
    """Returns the search of a valid request."""
    limit = request.limit or limits.SEARCH_HITS_DEFAULT
    is_one_message = limit <= min(batch_size(request), limits.BATCH_HITS_DEFAULT)
    return Search(
        query=_query(request),
        limit=limit,
        trace_filter=trace_filter_of(request.filter) if request.HasField("filter") else UNFILTERED,
        min_similarity=request.min_similarity if request.HasField("min_similarity") else -1.0,
        exact=request.exact,
        ef_search=request.ef_search,
        fetches_full=is_full(request.view) if is_one_message else None,
        resumed_at=RESUME_TOKEN.position(request),
        ranking=_RANKING[request.ranking],
        min_probability=request.min_probability,
    )


def batch_size(request: trace_service_pb2.SearchTracesRequest) -> int:
    """Returns how many hits a message holds at most."""
    return request.batch_size or limits.BATCH_HITS_DEFAULT


def fill_hit(message: trace_service_pb2.SearchHit, hit: Hit, explanation: Explanation | None) -> None:
    """Fills an empty message with a hit, and with its explanation if callers asked for one."""
    fill_trace(message.trace, hit.trace)
    message.similarity = hit.neighbour.similarity
    if explanation is not None:
        message.explanation.CopyFrom(_explanation_message(explanation))


def summary_message(
    result: SearchResult, stop_reason: StopReason, *, hit_count: int, dropped_count: int
) -> trace_service_pb2.SearchSummary:
    """Returns the summary of a stream that sent so many hits."""
    probability = result.answer_probability
    return trace_service_pb2.SearchSummary(
        stop_reason=_STOP_REASON[stop_reason],
        exact=result.exact,
        embedding_model_id=result.model_id,
        hit_count=hit_count,
        dropped_count=dropped_count,
        unknown_tags=result.trace_filter.unknown_tags,
        pending_count=result.pending_count,
        near_miss_count=result.near_miss_count,
        verdict=_verdict(probability),
        answer_probability=probability,
        searched_namespaces=result.trace_filter.namespaces.names[: limits.SEARCHED_NAMESPACES],
        searched_namespace_count=len(result.trace_filter.namespaces.names),
    )


def _verdict(probability: float | None) -> trace_service_pb2.Verdict.ValueType:
    return trace_service_pb2.VERDICT_UNSPECIFIED if probability is None else _VERDICT[verdict_of(probability)]


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
        token_similarity=explanation.token_similarity,
    )


def _pack(point: ResumePoint) -> Sequence[Any]:
    if point.rank:
        return (point.rank,)
    step, last = point.approximate, point.last
    return (
        None if step is None else (step.limit, step.ef_search, *_pack_neighbour(step.last)),
        None if last is None else _pack_neighbour(last),
    )


def _unpack(packed: Sequence[Any]) -> ResumePoint:
    if len(packed) == 1:
        [rank] = packed
        if type(rank) is not int or rank not in range(1, RANKED):
            raise ValueError
        return ResumePoint(rank=rank)
    step, last = packed
    if step is None:
        return ResumePoint(last=_unpack_neighbour(last))
    limit, ef_search, *last_of_step = step
    if limit not in range(1, limits.SEARCH_HITS + 1) or ef_search not in range(limits.SEARCH_CANDIDATES + 1):
        raise ValueError
    return ResumePoint(
        approximate=ApproximateStep(limit=int(limit), ef_search=int(ef_search), last=_unpack_neighbour(last_of_step)),
        last=None if last is None else _unpack_neighbour(last),
    )


def _pack_neighbour(neighbour: Neighbour) -> Iterable[Any]:
    # JSON keeps every bit of a float.
    return neighbour.distance, str(neighbour.trace_id)


def _unpack_neighbour(packed: Sequence[Any]) -> Neighbour:
    distance, trace_id = packed
    if type(distance) is not float or not math.isfinite(distance) or type(trace_id) is not str:
        raise TypeError
    return Neighbour(UUID(trace_id), distance)


RESUME_TOKEN = TokenField(name="resume_token", may_differ=("limit", "batch_size"), pack=_pack, unpack=_unpack)
"""Resume token of a stream of hits."""
