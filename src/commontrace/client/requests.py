"""Conversion of arguments of client methods to fields of requests."""

from collections.abc import Iterable
from typing import Literal, TypeVar
from uuid import UUID, uuid4

from commontrace.v1 import trace_filter_pb2, trace_pb2, trace_service_pb2, vector_pb2

Value = TypeVar("Value")
SearchQuery = str | UUID | vector_pb2.Vector
Ranking = Literal["cosine", "trust_weighted", "hybrid", "best"]

_RANKINGS: dict[Ranking, trace_service_pb2.Ranking.ValueType] = {
    "cosine": trace_service_pb2.RANKING_COSINE,
    "trust_weighted": trace_service_pb2.RANKING_TRUST_WEIGHTED,
    "hybrid": trace_service_pb2.RANKING_HYBRID,
    "best": trace_service_pb2.RANKING_BEST,
}


def request_id_of(given: str | UUID | None) -> str:
    """Returns the idempotency key of a write: the caller's, or a new UUID (ADR 0007)."""
    return str(uuid4() if given is None else given)


def reject_single_string(name: str, values: Iterable[Value]) -> Iterable[Value]:
    """Returns the values. Raises TypeError for a single string, which would count as one value a character."""
    if isinstance(values, str):
        raise TypeError(f"{name} must be several strings; one string would be taken for one a letter")
    return values


def view_of(*, full: bool) -> trace_pb2.TraceView.ValueType:
    """Returns the view of traces, with or without their context and solution."""
    return trace_pb2.TRACE_VIEW_FULL if full else trace_pb2.TRACE_VIEW_BASIC


def search_request(
    query: SearchQuery,
    *,
    limit: int,
    full: bool,
    trace_filter: trace_filter_pb2.TraceFilter | None,
    min_similarity: float | None,
    min_probability: float,
    exact: bool,
    ranking: Ranking | None,
    explain: bool,
    batch_size: int,
) -> trace_service_pb2.SearchTracesRequest:
    """Returns the request to search for a text, for traces similar to that with an id, or for a vector.

    For the ranking None, the request names none. Raises ValueError for an unknown ranking.
    """
    if ranking is not None and ranking not in _RANKINGS:
        raise ValueError(f"ranking must be one of {', '.join(_RANKINGS)}, not {ranking!r}")
    request = trace_service_pb2.SearchTracesRequest(
        limit=limit,
        view=view_of(full=full),
        filter=trace_filter,
        min_similarity=min_similarity,
        min_probability=min_probability,
        exact=exact,
        explain=explain,
        batch_size=batch_size,
    )
    if ranking is not None:
        request.ranking = _RANKINGS[ranking]
    if isinstance(query, str):
        request.text = query
    elif isinstance(query, UUID):
        request.trace_id = str(query)
    else:
        request.embedding.CopyFrom(query)
    return request
