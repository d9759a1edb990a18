"""Domain errors: each carries its facts, and `rpc/error_codes.py` maps it to a status code and a reason.

In one module, because they are one table of the contract (`protos/commontrace/v1/error_reason.proto`).
"""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from commontrace.embeddings.model import Model, RecordedModel
from commontrace.plurals import counted


class CommonTraceError(Exception):
    """Base of all errors that a caller can understand. `metadata` holds the facts of the message for machines."""

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.metadata: Mapping[str, str] = metadata


# Callers and their keys.


class InvalidUser(CommonTraceError):
    """The caller's address is not one plain e-mail address."""


class UserReserved(CommonTraceError):
    """The caller's address belongs to the service itself."""

    def __init__(self, email: str) -> None:
        super().__init__(f"{email} belongs to the service and cannot be claimed", email=email)


class UserNotFound(CommonTraceError):
    """No user has the address."""

    def __init__(self, email: str) -> None:
        super().__init__(f"there is no user {email}: create one with `commontrace users create {email}`", email=email)


class KeyRequired(CommonTraceError):
    """The caller sent no API key to a server that requires one."""

    def __init__(self) -> None:
        super().__init__("this server asks for an API key: send the metadata `authorization: Bearer ct_...`")


class InvalidKey(CommonTraceError):
    """The caller's API key is malformed, unknown, expired or revoked. It is never repeated.

    `problem` is MALFORMED, UNKNOWN, or, for the right secret alone, EXPIRED or REVOKED.
    """

    _SENTENCES: ClassVar = {
        "MALFORMED": "what was sent is no API key: it must be one `authorization: Bearer ct_...`, whole and unchanged",
        "UNKNOWN": "nobody has this API key",
        "EXPIRED": "this API key has expired: ask for a new one",
        "REVOKED": "this API key was revoked: ask for a new one",
    }

    def __init__(self, problem: str) -> None:
        super().__init__(self._SENTENCES[problem], problem=problem)


class ScopeMissing(CommonTraceError):
    """The caller's API key lacks a scope."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this API key does not have the scope {scope}", scope=scope)


class KeyBound(ScopeMissing):
    """The caller's API key is bound to namespaces, and the scope reaches beyond them."""

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.args = (f"an API key that is bound to namespaces does not have the scope {scope}",)


class KeyNotFound(CommonTraceError):
    """No API key has the id, or it has ended, as `problem` says."""

    def __init__(self, key_id: UUID, problem: str = "no key has the id {}") -> None:
        super().__init__(problem.format(key_id), key_id=str(key_id))


class TooManyKeys(CommonTraceError):
    """The user has as many live keys as a user may have."""

    def __init__(self, email: str, limit: int) -> None:
        super().__init__(
            f"{email} has {limit} live keys, the most there may be: revoke one with `commontrace keys revoke`",
            email=email,
            limit=str(limit),
        )


# Namespaces and their members.


class NamespaceNotFound(CommonTraceError):
    """No namespace has the name, or the caller may not read it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no namespace {name!r} that you may read", namespace=name)


class NamespaceForbidden(CommonTraceError):
    """The caller may read the namespace, and needs a stronger role there."""

    def __init__(self, name: str, *, role: str, needed_role: str) -> None:
        super().__init__(
            f"in the namespace {name} you have the role {role}, and this needs {needed_role}: ask one of its owners",
            namespace=name,
            role=role,
            needed_role=needed_role,
        )


class NamespaceRequired(CommonTraceError):
    """The caller's API key is bound to several namespaces, and the write names none."""

    def __init__(self) -> None:
        super().__init__("`namespace` is required: this API key is bound to several", field="namespace")


class NamespaceExists(CommonTraceError):
    """The name belongs to a namespace, or belonged to one."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name} is or was in use: choose another", namespace=name)


class NamespaceNotEmpty(CommonTraceError):
    """Traces are in the namespace, deleted ones included."""

    def __init__(self, name: str, trace_count: int) -> None:
        super().__init__(
            f"the namespace {name} holds {counted(trace_count, 'traces')}, deleted ones included: purge them first",
            namespace=name,
            trace_count=str(trace_count),
        )


class NamespaceStays(CommonTraceError):
    """The namespace `commons` cannot be deleted."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is the namespace of every caller who names none: it stays", field="name")


class NamespacesDisabled(CommonTraceError):
    """Servers that know one namespace only may still use the database."""

    def __init__(self) -> None:
        super().__init__(
            "this database serves one namespace, so that older servers can use it: its operator runs"
            " `commontrace namespaces enable` once they have stopped"
        )


class TooManyNamespaces(CommonTraceError):
    """The database has as many namespaces as it may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"there are {limit} namespaces, the most there may be: one that is empty has to go", limit=str(limit)
        )


class TooManyMembers(CommonTraceError):
    """The namespace has as many members as it may have."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(f"{name} has {limit} members, the most there may be", namespace=name, limit=str(limit))


class LastOwner(CommonTraceError):
    """The namespace would have no owner."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} would have no owner: make another user an owner first", namespace=name)


class MemberNotFound(CommonTraceError):
    """The user is not a member of the namespace."""

    def __init__(self, name: str, email: str) -> None:
        super().__init__(f"{email} is not a member of {name}", namespace=name, email=email)


class StaleNamespaceEtag(CommonTraceError):
    """The namespace was changed since its etag was read (optimistic concurrency)."""

    def __init__(self, name: str, current_etag: str) -> None:
        super().__init__(f"{name} was changed since: read it again", namespace=name, current_etag=current_etag)


class SameNamespace(CommonTraceError):
    """A trace is to be promoted into its own namespace."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the trace is in {name} already: name another namespace", field="to_namespace")


# Traces: lookup, ownership, preconditions.


class TraceNotFound(CommonTraceError):
    """No live trace has the id."""

    def __init__(self, trace_id: UUID) -> None:
        super().__init__(f"no trace has the id {trace_id}", trace_id=str(trace_id))


class NotOwner(CommonTraceError):
    """The trace's contributor is not the caller."""

    def __init__(self, trace_id: UUID) -> None:
        super().__init__(f"{trace_id} belongs to somebody else", trace_id=str(trace_id))


class StaleEtag(CommonTraceError):
    """The trace was edited since its etag was read (optimistic concurrency)."""

    def __init__(self, trace_id: UUID, current_etag: str) -> None:
        super().__init__(
            f"{trace_id} was edited since: read it again", trace_id=str(trace_id), current_etag=current_etag
        )


class DuplicateTrace(CommonTraceError):
    """A live trace has the same content."""

    def __init__(self, existing_id: UUID) -> None:
        super().__init__(f"{existing_id} has the same content", trace_id=str(existing_id))


class AlreadySuperseded(CommonTraceError):
    """A live trace supersedes the trace already."""

    def __init__(self, trace_id: UUID, superseded_by_id: UUID) -> None:
        super().__init__(
            f"{trace_id} is replaced by {superseded_by_id} already",
            trace_id=str(trace_id),
            superseded_by_trace_id=str(superseded_by_id),
        )


class TraceHidden(CommonTraceError):
    """A moderator hid the trace."""

    def __init__(self, trace_id: UUID) -> None:
        super().__init__(f"{trace_id} was hidden by a moderator: its `hide_reason` says why", trace_id=str(trace_id))


class TracePurged(CommonTraceError):
    """An imported trace asks for the id of a purged one."""

    def __init__(self, trace_id: UUID) -> None:
        super().__init__(f"{trace_id} was purged: it is not to come back", trace_id=str(trace_id))


class TraceIdTaken(CommonTraceError):
    """An imported trace asks for the id of another trace."""

    def __init__(self, trace_id: UUID) -> None:
        super().__init__(
            f"a trace of another text, or a deleted one, has the id {trace_id}: undelete it, or leave the id out",
            trace_id=str(trace_id),
        )


class TraceNotEncoded(CommonTraceError):
    """The trace has no vector yet."""

    def __init__(self, trace_id: UUID) -> None:
        super().__init__(f"{trace_id} is not encoded yet: nothing can be compared with it", trace_id=str(trace_id))


class NotCalibrated(CommonTraceError):
    """A search asks for a probability, and the model's similarities are not calibrated."""

    def __init__(self, model: Model) -> None:
        super().__init__(
            f"the model {model.model_id} has no calibration, so answers have no probability: leave out min_probability",
            embedding_model_id=model.model_id,
            embedding_model_version=model.model_version,
        )


# Votes, tags, events.


class OwnTrace(CommonTraceError):
    """The voter contributed the trace."""

    def __init__(self, trace_id: UUID) -> None:
        super().__init__(f"{trace_id} is your own: others vote on it", trace_id=str(trace_id))


class RevisionNotCurrent(CommonTraceError):
    """The vote is on an earlier revision of the trace."""

    def __init__(self, trace_id: UUID, current_revision: int) -> None:
        super().__init__(
            f"{trace_id} is at revision {current_revision}: read it again before voting",
            trace_id=str(trace_id),
            current_revision=str(current_revision),
        )


class VoteNotFound(CommonTraceError):
    """The caller has no vote on the trace."""

    def __init__(self, trace_id: UUID) -> None:
        super().__init__(f"you have no vote on {trace_id}", trace_id=str(trace_id))


class InvalidTag(CommonTraceError):
    """The tag has no canonical name, as `problem` says."""

    def __init__(self, tag: str, problem: str) -> None:
        shown = tag if len(tag) <= 60 else tag[:57] + "..."
        super().__init__(f"{shown!r} {problem}", tag=shown)


class TagNotFound(CommonTraceError):
    """No tag has the canonical name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no tag {name!r}", name=name)


class WatchTokenOutOfRange(CommonTraceError):
    """The events after the resume token are no longer kept, or never were here."""

    def __init__(self) -> None:
        super().__init__("the events behind this token are no longer kept: list what you need, and watch anew")


# Requests: idempotency, concurrency, deadlines.


class RequestIdReused(CommonTraceError):
    """The idempotency key (request id) belongs to another request."""

    def __init__(self, request_id: UUID) -> None:
        super().__init__(
            f"the request id {request_id} was used for a request with other fields", request_id=str(request_id)
        )


class AnswerErased(CommonTraceError):
    """The stored answer of an idempotent write was erased with the purged trace that it showed."""

    def __init__(self, request_id: UUID) -> None:
        super().__init__(
            f"the answer to the request {request_id} was erased with the trace that it told of",
            request_id=str(request_id),
        )


class ConcurrentChange(CommonTraceError):
    """A concurrent write made outdated what was prepared outside the transaction. It is prepared anew."""

    def __init__(self, message: str = "others were faster") -> None:
        super().__init__(message)


class ModelReplaced(ConcurrentChange):
    """The database moved to another embedding model meanwhile: `current`, where it was read. The call is repeated."""

    def __init__(
        self,
        message: str = "the stored vectors come from another model by now",
        *,
        current: RecordedModel | None = None,
    ) -> None:
        super().__init__(message)
        self.current = current


class QueryOfAnotherModel(ModelReplaced):
    """The query is a vector of the model that the database was moved away from."""


class DeadlinePassed(CommonTraceError):
    """The caller's deadline leaves no time for an answer."""


# Overload: quotas, admission control, shutdown.


class QuotaExceeded(CommonTraceError):
    """The user's quota of reads or writes of a minute, or of new tag names of a day, is used up.

    `retry_after` is in seconds, until the next minute or day begins.
    """

    _SPOKEN: ClassVar = {"tag_names": "new tag names"}

    def __init__(self, email: str, kind: str, limit: int, *, per: str, retry_after: float) -> None:
        super().__init__(
            f"{email} has used up the {counted(limit, self._SPOKEN.get(kind, kind))} of this {per}",
            quota=kind.upper(),
            limit=str(limit),
            per=per,
        )
        self.email = email
        self.kind = kind
        self.limit = limit
        self.per = per
        self.retry_after = retry_after


class Overloaded(CommonTraceError):
    """Admission is refused: too many calls in progress, or every connection busy for too long (ADR 0029).

    `retry_after` is in seconds, None where it is not known.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class FilterTooSlow(Overloaded):
    """A statement that filters by metadata took longer than the given seconds (ADR 0041)."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the filter by metadata took more than {seconds:g} s: ask for fewer values, or for fewer traces at a time",
            retry_after=seconds,
        )


class ServerStopping(CommonTraceError):
    """The server shuts down: it begins no call and ends streams that have no end of their own (ADR 0046)."""

    def __init__(self) -> None:
        super().__init__("the server stops: repeat the call elsewhere, or here after its restart")


# Database.


class DatabaseUnavailable(CommonTraceError):
    """The database cannot be reached, refuses what the server needs, or did not answer in time."""


class OperatorNeeded(DatabaseUnavailable):
    """The database fails until its operator mends it. The message is for callers, `advice` for the operator.

    `sqlstate` is the error code of Postgres, empty where the failure is not an answer of Postgres.
    """

    def __init__(self, message: str, *, advice: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.advice = advice
        self.sqlstate = sqlstate


class DatabaseReadOnly(OperatorNeeded):
    """The database refuses writes, as a standby does; reads work."""

    def __init__(self) -> None:
        super().__init__(
            "the database only reads: nothing can be written until that is over",
            advice="let DATABASE_URL lead to the primary, promote this standby, or turn default_transaction_read_only"
            " off for the database and the role; `commontrace doctor` says which",
            sqlstate="25006",
        )


class Busy(CommonTraceError):
    """A lock or another resource is held by somebody else. Nothing has happened; trying again helps."""


class InvalidStoredVector(CommonTraceError):
    """The database refused a vector that is not of unit length: an embedder's fault, never a caller's."""
