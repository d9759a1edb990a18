"""Validation of watches."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from commontrace.rpc.paging.page_tokens import BY_SEQUENCE
from commontrace.rpc.validation.invalid_request import Violation
from commontrace.v1 import trace_event_pb2


def watch_traces(request: trace_event_pb2.WatchTracesRequest) -> Iterator[Violation]:
    """Yields the violations of a watch: of its resume token."""
    yield from BY_SEQUENCE.violations(request)


RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {trace_event_pb2.WatchTracesRequest: watch_traces}
