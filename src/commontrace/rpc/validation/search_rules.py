"""Validation of searches."""

from collections.abc import Iterator

from commontrace.domain import limits
from commontrace.domain.search.rankings import RANKED
from commontrace.domain.text import is_blank, without_forbidden
from commontrace.embeddings.model import Model
from commontrace.rpc.messages import searches
from commontrace.rpc.messages.vectors import vector_violations
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation import filter_rules
from commontrace.rpc.validation.invalid_request import InvalidRequest, Violation
from commontrace.v1 import error_reason_pb2 as reasons
from commontrace.v1 import trace_pb2, trace_service_pb2

_BY_SIMILARITY = (trace_service_pb2.RANKING_UNSPECIFIED, trace_service_pb2.RANKING_COSINE)
_BY_WORDS = (trace_service_pb2.RANKING_HYBRID, trace_service_pb2.RANKING_BEST)


def search_traces(
    request: trace_service_pb2.SearchTracesRequest, *, model_id: str, dimensions: int
) -> Iterator[Violation]:
    """Yields the violations of a search; its vector must be one of the model."""
    match request.WhichOneof("query"):
        case "text":
            yield from _query_text(request.text)
        case "embedding":
            yield from vector_violations("embedding", request.embedding, model_id=model_id, dimensions=dimensions)
        case "trace_id":
            yield from rules.identifier("trace_id", request.trace_id)
        case _:
            yield Violation(
                field="query",
                reason=reasons.ERROR_REASON_FIELD_REQUIRED,
                message="is required: set text, embedding or trace_id",
            )
    most = limits.SEARCH_HITS if request.ranking in _BY_SIMILARITY else RANKED
    yield from rules.within("limit", request.limit, 0, most)
    yield from rules.within("batch_size", request.batch_size, 0, limits.SEARCH_HITS)
    yield from rules.within("ef_search", request.ef_search, 0, limits.SEARCH_CANDIDATES)
    if request.HasField("min_similarity"):
        yield from rules.within("min_similarity", request.min_similarity, -1, 1)
    yield from _min_probability(request)
    yield from rules.known_enum("view", request.view, trace_pb2.TraceView)
    if request.HasField("filter"):
        yield from filter_rules.trace_filter(request.filter)
    yield from _ranking(request)
    yield from searches.RESUME_TOKEN.violations(request)


def refuse_vector(request: trace_service_pb2.SearchTracesRequest, model: Model) -> None:
    """Raises InvalidRequest for a vector that is invalid since the database was moved to the model."""
    violations = list(search_traces(request, model_id=model.model_id, dimensions=model.dimensions))
    if violations:
        raise InvalidRequest(violations)


def _min_probability(request: trace_service_pb2.SearchTracesRequest) -> Iterator[Violation]:
    yield from rules.within("min_probability", request.min_probability, 0, 1)
    if request.min_probability and request.WhichOneof("query") in ("embedding", "trace_id"):
        yield Violation(
            field="min_probability",
            reason=reasons.ERROR_REASON_FIELD_NOT_ALLOWED,
            message="needs a text to search for: only answers to a question have a probability",
        )


def _ranking(request: trace_service_pb2.SearchTracesRequest) -> Iterator[Violation]:
    yield from rules.known_enum("ranking", request.ranking, trace_service_pb2.Ranking)
    if request.ranking in _BY_WORDS and request.WhichOneof("query") in ("embedding", "trace_id"):
        name = trace_service_pb2.Ranking.Name(request.ranking)
        yield Violation(
            field="ranking",
            reason=reasons.ERROR_REASON_FIELD_NOT_ALLOWED,
            message=f"{name} goes by words, too: it needs a text to search for",
        )


def _query_text(text: str) -> Iterator[Violation]:
    yield from rules.not_longer("text", len(text), limits.QUERY_CHARACTERS, "characters")
    if "\0" in text:
        yield rules.forbidden_character("text", text.index("\0"), "\0")
    if is_blank(without_forbidden(text)):
        yield Violation(
            field="text",
            reason=reasons.ERROR_REASON_FIELD_REQUIRED,
            message="is required: there is nothing to search for",
        )
