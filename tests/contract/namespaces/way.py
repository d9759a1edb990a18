"""Way: how one RPC names a trace, tag, vote or namespace, and how the call ends for each role there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message

from commontrace.domain.namespaces.namespace import Role
from commontrace.rpc import services
from commontrace.rpc.scopes import moderator_scopes, required_scopes
from commontrace.v1.error_reason_pb2 import ErrorReason
from tests.contract.namespaces.answers import Answer
from tests.contract.namespaces.seats import Seat
from tests.contract.namespaces.world import Subject

SCOPES, MODERATOR_SCOPES = required_scopes(*services.FILES), moderator_scopes(*services.FILES)

Code = grpc.StatusCode
CODES = {
    "OK": Code.OK,
    "TRACE_NOT_FOUND": Code.NOT_FOUND,
    "NAMESPACE_NOT_FOUND": Code.NOT_FOUND,
    "TAG_NOT_FOUND": Code.NOT_FOUND,
    "VOTE_NOT_FOUND": Code.NOT_FOUND,
    "NAMESPACE_FORBIDDEN": Code.PERMISSION_DENIED,
    "SCOPE_MISSING": Code.PERMISSION_DENIED,
    "NOT_OWNER": Code.PERMISSION_DENIED,
    "OWN_TRACE": Code.FAILED_PRECONDITION,
    "NAMESPACE_NOT_EMPTY": Code.FAILED_PRECONDITION,
    "NAMESPACE_EXISTS": Code.ALREADY_EXISTS,
    "TRACE_ID_TAKEN": Code.ALREADY_EXISTS,
    "DUPLICATE_TRACE": Code.ALREADY_EXISTS,
    "FIELD_NOT_ALLOWED": Code.INVALID_ARGUMENT,
    "INVALID_FIELD_MASK": Code.INVALID_ARGUMENT,
}


@dataclass(frozen=True, kw_only=True)
class End:
    """How a call, or its one item, ends."""

    reason: str = "OK"
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> grpc.StatusCode:
        return CODES[self.reason]


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to name something. `fields` are those of the request by which it does.

    `hidden` is the end for callers who may not read it, `granted` for those with the role `needed`; those between are
    refused with NAMESPACE_FORBIDDEN. `by_seat` are ends that do not follow from the role. `shows` says whether an
    answer shows the thing: to those alone who may read it. `item` picks the error of the one item of a call.
    """

    rpc: str
    name: str
    fields: tuple[str, ...]
    request: Callable[[Subject, Seat], Message]
    subject: str = "live"
    in_namespace: str = ""
    needed: Role = Role.READER
    hidden: str = "TRACE_NOT_FOUND"
    granted: str = "OK"
    by_seat: Mapping[str, End] = field(default_factory=dict)
    shows: Callable[[Sequence[Any], Subject], bool] | None = None
    item: Callable[[Any], Any] | None = None
    compared_with: str = "unknown"
    """`unknown`: the answer is that about a thing that does not exist. `purged`: the same request has the same answer
    after the trace was purged. Empty where the contract accepts that the answers differ."""
    sends_texts: bool = False
    """Whether the request holds the texts of the subject, so that its answer may."""

    def end(self, seat: Seat, subject: Subject) -> End:
        """Returns how the call of this caller has to end."""
        scope, enough = SCOPES[self.rpc], MODERATOR_SCOPES.get(self.rpc)
        if scope not in seat.scopes and not (enough in seat.scopes and seat.moderates):
            return End(reason="SCOPE_MISSING", metadata={"scope": scope.value})
        if seat.name in self.by_seat:
            return self.by_seat[seat.name]
        if seat.role is None:
            return End(reason=self.hidden, metadata=self._names(subject))
        if seat.role < self.needed:
            roles = {"role": seat.role.name, "needed_role": self.needed.name}
            return End(reason="NAMESPACE_FORBIDDEN", metadata={"namespace": subject.namespace, **roles})
        return End(reason=self.granted)

    def ended(self, answer: Answer) -> End:
        """Returns how the call ended, or its one item. Of an item, the metadata are not told."""
        if self.item is not None and answer.responses:
            error = self.item(answer.responses[0])
            if error is None or not error.code:
                return End()
            reason = ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
            assert error.code == CODES[reason].value[0]
            return End(reason=reason)
        if answer.code is Code.OK:
            return End()
        return End(reason=answer.info.reason, metadata=dict(answer.info.metadata))

    def _names(self, subject: Subject) -> dict[str, str]:
        names = {
            "TRACE_NOT_FOUND": {"trace_id": subject.trace_id},
            "NAMESPACE_NOT_FOUND": {"namespace": subject.namespace},
            "TAG_NOT_FOUND": {"name": subject.tag},
        }
        return {} if self.item is not None else names.get(self.hidden, {})
