"""Context of the call in progress: its method, id, caller and outcome, as the interceptors learn them."""

from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import grpc

from commontrace.domain.caller import Caller
from commontrace.domain.namespaces.access import NamespaceAccess

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]
# A function, not a coroutine: one that is never awaited warns.
Reauthenticate: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(kw_only=True, slots=True)
class Call:
    """One call. `id` names it in logs and is not the `request_id` of a write."""

    method: str
    id: str
    caller: Caller | None = None
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str = ""
    reauthenticate: Reauthenticate | None = None
    """Checks the caller's key, and what it may reach, again; set for streams, which may last longer than the key."""
    access: NamespaceAccess | None = None
    """What the caller may reach, once it was resolved (`rpc/access.py`)."""
    read_namespace_ids: tuple[UUID, ...] = ()
    """The namespaces that a stream reads."""


current_call: ContextVar[Call] = ContextVar("current_call")


def current_caller() -> Caller:
    """Returns the authenticated caller of the current call."""
    caller = current_call.get().caller
    if caller is None:
        raise RuntimeError("a servicer was called without authentication")
    return caller


async def require_valid_key() -> None:
    """Checks the caller of a stream again, and what it may reach.

    Raises InvalidKey if the key has ended, NamespaceNotFound if the caller may no longer read what the stream reads,
    DatabaseUnavailable or Overloaded if that cannot be checked.
    """
    reauthenticate = current_call.get().reauthenticate
    if reauthenticate is not None:
        await reauthenticate()


class CallObserver(Protocol):
    """Observes every call of CommonTrace's own services. Neither method may raise or wait."""

    def begun(self, call: Call, metadata: Metadata) -> None:
        """Called when the metadata of the call are here and its request is not parsed yet."""

    def ended(self, call: Call, seconds: float) -> None:
        """Called when the code of the call is final, with its duration."""
