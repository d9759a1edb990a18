"""What is known of the call in progress."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import uuid4

import grpc

from commontrace.core.caller import Caller

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(kw_only=True, slots=True)
class Call:
    """One call. The interceptors fill it in as they learn."""

    method: str
    id: str = field(default_factory=lambda: uuid4().hex)
    caller: Caller | None = None
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str = ""


current_call: ContextVar[Call] = ContextVar("current_call")


def current_caller() -> Caller:
    """Returns who is asking; the authentication interceptor has seen to it that there is somebody."""
    caller = current_call.get().caller
    if caller is None:
        raise RuntimeError("a servicer was called without authentication")
    return caller
