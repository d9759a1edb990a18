"""The rules of reading many traces."""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import Message

from commontrace.rpc.invalid_request import Violation

RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {}
"""The rule of BatchGetTraces and of every list of TraceService."""
