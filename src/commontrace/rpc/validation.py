"""The rules of the contract, one function a request message."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from commontrace.core import limits, tag_names
from commontrace.core.errors import InvalidTag
from commontrace.core.text import is_blank, without_forbidden
from commontrace.rpc import field_rules as rules
from commontrace.rpc.invalid_request import InvalidRequest, Violation
from commontrace.rpc.vectors import vector_violations
from commontrace.v1 import error_reason_pb2 as reasons
from commontrace.v1 import trace_pb2, trace_service_pb2

Violations = Iterable[Violation]


class Validator:
    """Checks requests to a server whose vectors come from one embedding model."""

    def __init__(self, *, model_id: str, dimensions: int) -> None:
        """Takes the model that callers' own vectors must come from."""
        self._model_id = model_id
        self._dimensions = dimensions
        self._rules: dict[type[Message], Callable[[Any], Violations]] = {
            trace_service_pb2.GetServiceInfoRequest: _no_rules,
            trace_service_pb2.CreateTraceRequest: _create_trace,
            trace_service_pb2.GetTraceRequest: _get_trace,
            trace_service_pb2.SearchTracesRequest: self._search_traces,
        }

    def check(self, request: Message) -> None:
        """Raises InvalidRequest with every violation found."""
        violations = list(self._rules[type(request)](request))
        if violations:
            raise InvalidRequest(violations)

    def _search_traces(self, request: trace_service_pb2.SearchTracesRequest) -> Iterator[Violation]:
        match request.WhichOneof("query"):
            case "text":
                yield from _query_text(request.text)
            case "embedding":
                yield from vector_violations(
                    "embedding", request.embedding, model_id=self._model_id, dimensions=self._dimensions
                )
            case "trace_id":
                yield from rules.identifier("trace_id", request.trace_id)
            case _:
                yield Violation(
                    field="query",
                    reason=reasons.ERROR_REASON_FIELD_REQUIRED,
                    message="is required: set text, embedding or trace_id",
                )
        yield from rules.within("limit", request.limit, 0, limits.SEARCH_HITS)
        yield from rules.within("batch_size", request.batch_size, 0, limits.SEARCH_HITS)
        yield from rules.known_enum("view", request.view, trace_pb2.TraceView)


def _no_rules(_request: Message) -> Violations:
    return ()


def _create_trace(request: trace_service_pb2.CreateTraceRequest) -> Iterator[Violation]:
    yield from rules.stored_text("title", request.title, limits.TITLE_CHARACTERS, required=True)
    yield from rules.stored_text("context", request.context, limits.CONTEXT_CHARACTERS, required=True)
    yield from rules.stored_text("solution", request.solution, limits.SOLUTION_CHARACTERS, required=True)
    yield from _tags(request.tags)
    yield from rules.stored_text("agent_model", request.agent_model, limits.AGENT_MODEL_CHARACTERS)
    yield from rules.stored_text("agent_version", request.agent_version, limits.AGENT_VERSION_CHARACTERS)
    yield from rules.json_object("metadata", request.metadata, limits.METADATA_BYTES)


def _get_trace(request: trace_service_pb2.GetTraceRequest) -> Iterator[Violation]:
    yield from rules.identifier("trace_id", request.trace_id)
    yield from rules.known_enum("view", request.view, trace_pb2.TraceView)


def _tags(tags: Iterable[str]) -> Iterator[Violation]:
    given = list(tags)
    yield from rules.not_longer("tags", len(given), limits.TAGS, "tags")
    for position, tag in enumerate(given[: limits.TAGS]):
        try:
            tag_names.normalise(tag)
        except InvalidTag as error:
            yield Violation(
                field=f"tags[{position}]",
                reason=reasons.ERROR_REASON_INVALID_TAG,
                message=str(error),
                metadata=dict(error.metadata),
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
