"""Validator: checks a request by the rule of its type."""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import Message

from commontrace.embeddings.active_model import ActiveModel
from commontrace.rpc.validation import (
    export_rules,
    import_rules,
    list_rules,
    namespace_rules,
    search_rules,
    tag_rules,
    trace_rules,
    vote_rules,
    watch_rules,
)
from commontrace.rpc.validation.invalid_request import InvalidRequest, Violation
from commontrace.v1 import trace_service_pb2

Violations = Iterable[Violation]


class Validator:
    """Checks requests. A caller's own vector must be one of the server's current embedding model."""

    def __init__(self, model: ActiveModel) -> None:
        self._model = model
        self._rules: dict[type[Message], Callable[[Any], Violations]] = {
            **trace_rules.RULES,
            **import_rules.RULES,
            **list_rules.RULES,
            **export_rules.RULES,
            **vote_rules.RULES,
            **tag_rules.RULES,
            **namespace_rules.RULES,
            **watch_rules.RULES,
            trace_service_pb2.SearchTracesRequest: self._search_traces,
        }

    def _search_traces(self, request: trace_service_pb2.SearchTracesRequest) -> Violations:
        model = self._model.info
        return search_rules.search_traces(request, model_id=model.model_id, dimensions=model.dimensions)

    def check(self, request: Message) -> None:
        """Raises InvalidRequest with all violations, if there are any."""
        violations = list(self._rules[type(request)](request))
        if violations:
            raise InvalidRequest(violations)
