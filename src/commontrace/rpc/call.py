"""What is known of the call in progress."""

from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import grpc

from commontrace.domain.caller import Caller

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]
# Not begun yet: a stream that its caller leaves at once never asks.
Reauthenticate: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(kw_only=True, slots=True)
class Call:
    """One call. The interceptors fill it in as they learn. `id` is no write's `request_id`."""

    method: str
    id: str
    caller: Caller | None = None
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str = ""
    reauthenticate: Reauthenticate | None = None
    """Of a stream whose caller has a key, which may end before the stream does."""


current_call: ContextVar[Call] = ContextVar("current_call")


def current_caller() -> Caller:
    """Returns who is asking; the authentication interceptor has seen to it that there is somebody."""
    caller = current_call.get().caller
    if caller is None:
        raise RuntimeError("a servicer was called without authentication")
    return caller


async def still_admitted() -> None:
    """Raises InvalidKey if the caller's key has ended, DatabaseUnavailable or Overloaded if nobody can say."""
    reauthenticate = current_call.get().reauthenticate
    if reauthenticate is not None:
        await reauthenticate()


class CallObserver(Protocol):
    """Hears of every call of CommonTrace's own services. Neither method may raise or wait."""

    def begun(self, call: Call, metadata: Metadata) -> None:
        """The call's metadata are here, its request is not yet parsed."""

    def ended(self, call: Call, seconds: float) -> None:
        """The call's code is final, after so many seconds."""
