"""The rules of tags."""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.message import Message

from commontrace.rpc.invalid_request import Violation

RULES: dict[type[Message], Callable[[Any], Iterable[Violation]]] = {}
"""The rule of every request of TagService."""
