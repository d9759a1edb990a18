"""Validation of filters."""

from collections.abc import Iterator

from commontrace.domain import limits
from commontrace.rpc.validation import field_rules as rules
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.rpc.validation.json_rules import json_object
from commontrace.v1 import error_reason_pb2 as reasons
from commontrace.v1 import trace_filter_pb2, trace_pb2


def trace_filter(message: trace_filter_pb2.TraceFilter) -> Iterator[Violation]:
    """Yields the violations of the field `filter`."""
    for name in ("tags_all", "tags_any", "tags_none"):
        yield from rules.tags(f"filter.{name}", getattr(message, name), limits.FILTER_VALUES)
    for name in ("statuses", "agent_models", "contributor_ids"):
        yield from rules.not_longer(f"filter.{name}", len(getattr(message, name)), limits.FILTER_VALUES, "values")
    for position, status in enumerate(message.statuses[: limits.FILTER_VALUES]):
        field = f"filter.statuses[{position}]"
        if status == trace_pb2.TRACE_STATUS_UNSPECIFIED:
            yield Violation(field=field, reason=reasons.ERROR_REASON_FIELD_REQUIRED, message="names no status")
        yield from rules.known_enum(field, status, trace_pb2.TraceStatus)
    for position, model in enumerate(message.agent_models[: limits.FILTER_VALUES]):
        field = f"filter.agent_models[{position}]"
        yield from rules.stored_text(field, model, limits.AGENT_MODEL_CHARACTERS)
    for position, contributor_id in enumerate(message.contributor_ids[: limits.FILTER_VALUES]):
        yield from rules.identifier(f"filter.contributor_ids[{position}]", contributor_id)
    yield from rules.namespaces("filter.namespaces", message.namespaces, limits.FILTER_VALUES)
    yield from rules.time("filter.create_time_from", message.create_time_from)
    yield from rules.time("filter.create_time_before", message.create_time_before)
    yield from json_object("filter.metadata", message.metadata, most_values=limits.FILTER_VALUES)
