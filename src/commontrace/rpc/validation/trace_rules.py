"""The rules of contributing, reading and editing traces."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from commontrace.core import limits
from commontrace.rpc.invalid_request import Violation
from commontrace.rpc.validation import field_rules as rules
from commontrace.v1 import trace_pb2, trace_service_pb2


def create_trace(request: trace_service_pb2.CreateTraceRequest) -> Iterator[Violation]:
    """Yields what is wrong with a contribution."""
    yield from rules.stored_text("title", request.title, limits.TITLE_CHARACTERS, required=True)
    yield from rules.stored_text("context", request.context, limits.CONTEXT_CHARACTERS, required=True)
    yield from rules.stored_text("solution", request.solution, limits.SOLUTION_CHARACTERS, required=True)
    yield from rules.tags("tags", request.tags, limits.TAGS)
    yield from rules.stored_text("agent_model", request.agent_model, limits.AGENT_MODEL_CHARACTERS)
    yield from rules.stored_text("agent_version", request.agent_version, limits.AGENT_VERSION_CHARACTERS)
    yield from rules.json_object("metadata", request.metadata, limits.METADATA_BYTES)
    yield from rules.known_enum("on_duplicate", request.on_duplicate, trace_service_pb2.OnDuplicate)
    yield from rules.optional_identifier("supersedes_trace_id", request.supersedes_trace_id)
    yield from rules.optional_identifier("request_id", request.request_id)


def get_trace(request: trace_service_pb2.GetTraceRequest) -> Iterator[Violation]:
    """Yields what is wrong with a question for one trace."""
    yield from rules.identifier("trace_id", request.trace_id)
    yield from rules.known_enum("view", request.view, trace_pb2.TraceView)


def _no_rules(_request: Message) -> Iterable[Violation]:
    return ()


RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {
    trace_service_pb2.GetServiceInfoRequest: _no_rules,
    trace_service_pb2.CreateTraceRequest: create_trace,
    trace_service_pb2.GetTraceRequest: get_trace,
}
"""The rule of every request of TraceService but searches and lists."""
