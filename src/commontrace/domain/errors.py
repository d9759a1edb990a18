"""What can go wrong, in the domain's words. `rpc/status.py` alone knows the status codes."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from commontrace.embeddings.recorded_model import RecordedModel
from commontrace.plurals import counted


class CommonTraceError(Exception):
    """A failure a caller can understand. `metadata` holds its facts for machines."""

    def __init__(self, message: str, **metadata: str) -> None:
        """Takes the sentence for people and the facts it is made of."""
        super().__init__(message)
        self.metadata: Mapping[str, str] = metadata


class TraceNotFound(CommonTraceError):
    """No live trace has the id."""

    def __init__(self, trace_id: UUID) -> None:
        """Takes the id that was asked for."""
        super().__init__(f"no trace has the id {trace_id}", trace_id=str(trace_id))


class DeadlinePassed(CommonTraceError):
    """The caller's deadline left no time for anything that could be answered."""


class InvalidTag(CommonTraceError):
    """A tag has no canonical name. `problem` says why."""

    def __init__(self, tag: str, problem: str) -> None:
        """Takes the tag as it was given."""
        shown = tag if len(tag) <= 60 else tag[:57] + "..."
        super().__init__(f"{shown!r} {problem}", tag=shown)


class InvalidUser(CommonTraceError):
    """The caller's address is not one plain e-mail address."""


class UserReserved(CommonTraceError):
    """The caller's address belongs to the service itself."""

    def __init__(self, email: str) -> None:
        """Takes the reserved address."""
        super().__init__(f"{email} belongs to the service and cannot be claimed", email=email)


class KeyRequired(CommonTraceError):
    """The caller sent no key to a server that asks for one."""

    def __init__(self) -> None:
        """Says what to send."""
        super().__init__("this server asks for an API key: send the metadata `authorization: Bearer ct_...`")


class InvalidKey(CommonTraceError):
    """The caller's key is none, or is no longer one. It is never repeated."""

    _SENTENCES: ClassVar = {
        "MALFORMED": "what was sent is no API key: it must be one `authorization: Bearer ct_...`, whole and unchanged",
        "UNKNOWN": "nobody has this API key",
        "EXPIRED": "this API key has expired: ask for a new one",
        "REVOKED": "this API key was revoked: ask for a new one",
    }

    def __init__(self, problem: str) -> None:
        """Takes MALFORMED, UNKNOWN, or, for the right key alone, EXPIRED or REVOKED."""
        super().__init__(self._SENTENCES[problem], problem=problem)


class ScopeMissing(CommonTraceError):
    """The caller's key is not made for this."""

    def __init__(self, scope: str) -> None:
        """Takes the scope that the key lacks."""
        super().__init__(f"this API key does not have the scope {scope}", scope=scope)


class UserNotFound(CommonTraceError):
    """No user has the address."""

    def __init__(self, email: str) -> None:
        """Takes the address."""
        super().__init__(f"there is no user {email}: create one with `commontrace users create {email}`", email=email)


class KeyNotFound(CommonTraceError):
    """No key has the id, or it has ended."""

    def __init__(self, key_id: UUID, problem: str = "no key has the id {}") -> None:
        """Takes the id and, where there is such a key, what has become of it."""
        super().__init__(problem.format(key_id), key_id=str(key_id))


class TooManyKeys(CommonTraceError):
    """The user has as many live keys as anybody may have."""

    def __init__(self, email: str, limit: int) -> None:
        """Takes whose keys they are, and how many are allowed."""
        super().__init__(
            f"{email} has {limit} live keys, the most there may be: revoke one with `commontrace keys revoke`",
            email=email,
            limit=str(limit),
        )


class NotOwner(CommonTraceError):
    """Somebody else contributed the trace."""

    def __init__(self, trace_id: UUID) -> None:
        """Takes the trace that is not the caller's."""
        super().__init__(f"{trace_id} belongs to somebody else", trace_id=str(trace_id))


class OwnTrace(CommonTraceError):
    """The voter contributed the trace."""

    def __init__(self, trace_id: UUID) -> None:
        """Takes the trace that is the voter's own."""
        super().__init__(f"{trace_id} is your own: others vote on it", trace_id=str(trace_id))


class RevisionNotCurrent(CommonTraceError):
    """The vote is on a text that has changed since."""

    def __init__(self, trace_id: UUID, current_revision: int) -> None:
        """Takes the trace and its current revision."""
        super().__init__(
            f"{trace_id} is at revision {current_revision}: read it again before voting",
            trace_id=str(trace_id),
            current_revision=str(current_revision),
        )


class VoteNotFound(CommonTraceError):
    """The caller has no vote on the trace."""

    def __init__(self, trace_id: UUID) -> None:
        """Takes the trace."""
        super().__init__(f"you have no vote on {trace_id}", trace_id=str(trace_id))


class TagNotFound(CommonTraceError):
    """No tag has the name."""

    def __init__(self, name: str) -> None:
        """Takes the canonical name."""
        super().__init__(f"there is no tag {name!r}", name=name)


class StaleEtag(CommonTraceError):
    """The trace was edited since its etag was read."""

    def __init__(self, trace_id: UUID, current_etag: str) -> None:
        """Takes the trace and its etag now."""
        super().__init__(
            f"{trace_id} was edited since: read it again", trace_id=str(trace_id), current_etag=current_etag
        )


class DuplicateTrace(CommonTraceError):
    """A live trace has the same content."""

    def __init__(self, existing_id: UUID) -> None:
        """Takes the trace that is there already."""
        super().__init__(f"{existing_id} has the same content", trace_id=str(existing_id))


class AlreadySuperseded(CommonTraceError):
    """A live trace replaces the trace already."""

    def __init__(self, trace_id: UUID, superseded_by_id: UUID) -> None:
        """Takes the replaced trace and what replaces it."""
        super().__init__(
            f"{trace_id} is replaced by {superseded_by_id} already",
            trace_id=str(trace_id),
            superseded_by_trace_id=str(superseded_by_id),
        )


class TracePurged(CommonTraceError):
    """An imported trace was to keep the id of one that was purged."""

    def __init__(self, trace_id: UUID) -> None:
        """Takes the id."""
        super().__init__(f"{trace_id} was purged: it is not to come back", trace_id=str(trace_id))


class TraceHidden(CommonTraceError):
    """A moderator hid the trace."""

    def __init__(self, trace_id: UUID) -> None:
        """Takes the trace."""
        super().__init__(f"{trace_id} was hidden by a moderator: its `hide_reason` says why", trace_id=str(trace_id))


class AnswerErased(CommonTraceError):
    """The request was answered, and the answer erased with the trace that it told of."""

    def __init__(self, request_id: UUID) -> None:
        """Takes the request's id."""
        super().__init__(
            f"the answer to the request {request_id} was erased with the trace that it told of",
            request_id=str(request_id),
        )


class TraceNotEncoded(CommonTraceError):
    """The trace has no vector yet."""

    def __init__(self, trace_id: UUID) -> None:
        """Takes the trace."""
        super().__init__(f"{trace_id} is not encoded yet: nothing can be compared with it", trace_id=str(trace_id))


class WatchTokenOutOfRange(CommonTraceError):
    """What happened behind the token is kept no longer, or was never here."""

    def __init__(self) -> None:
        """Says what to do instead."""
        super().__init__("the events behind this token are no longer kept: list what you need, and watch anew")


class TraceIdTaken(CommonTraceError):
    """Another trace has the id that an imported one was to keep."""

    def __init__(self, trace_id: UUID) -> None:
        """Takes the id."""
        super().__init__(
            f"a trace of another text, or a deleted one, has the id {trace_id}: undelete it, or leave the id out",
            trace_id=str(trace_id),
        )


class ServerStopping(CommonTraceError):
    """The server stops: what has not begun, or has no end of its own, ends now."""

    def __init__(self) -> None:
        """Says what to do."""
        super().__init__("the server stops: repeat the call elsewhere, or here after its restart")


class RequestIdReused(CommonTraceError):
    """The request id belongs to another request."""

    def __init__(self, request_id: UUID) -> None:
        """Takes the id."""
        super().__init__(
            f"the request id {request_id} was used for a request with other fields", request_id=str(request_id)
        )


class ConcurrentChange(CommonTraceError):
    """Others were faster: what was prepared outside the transaction no longer fits. It is prepared anew."""

    def __init__(self, message: str = "others were faster") -> None:
        """Takes what shows it."""
        super().__init__(message)


class ModelReplaced(ConcurrentChange):
    """The database was moved to another embedding model meanwhile. What is asked of the old one is asked anew."""

    def __init__(
        self,
        message: str = "the stored vectors come from another model by now",
        *,
        current: RecordedModel | None = None,
    ) -> None:
        """Takes what shows it, and the database's model where it was asked for."""
        super().__init__(message)
        self.current = current


class QueryOfAnotherModel(ModelReplaced):
    """The query is a vector of the model that the database was moved away from."""


class QuotaExceeded(CommonTraceError):
    """The user has used up what may be read or written in a minute, or named in a day."""

    _SPOKEN: ClassVar = {"tag_names": "new tag names"}

    def __init__(self, email: str, kind: str, limit: int, *, per: str, retry_after: float) -> None:
        """Takes whose quota it is, of what, how large, for a minute or a day, and when the next begins, in seconds."""
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
    """Every database connection was busy for too long, or too much is in progress already."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """Takes what there is too much of, and after how many seconds there may be less, if that is known."""
        super().__init__(message)
        self.retry_after = retry_after


class FilterTooSlow(Overloaded):
    """It took too long to find out which traces have the metadata that a filter asks for."""

    def __init__(self, seconds: float) -> None:
        """Takes how long a statement may take."""
        super().__init__(
            f"the filter by metadata took more than {seconds:g} s: ask for fewer values, or for fewer traces at a time",
            retry_after=seconds,
        )


class DatabaseUnavailable(CommonTraceError):
    """The database cannot be reached, refuses what the server needs, or did not answer in time."""


class OperatorNeeded(DatabaseUnavailable):
    """The database fails at what it is asked until somebody mends it. The message is for callers, `advice` for them."""

    def __init__(self, message: str, *, advice: str, sqlstate: str = "") -> None:
        """Takes what is wrong, what its operator can do, and Postgres' code, if it was Postgres that said it."""
        super().__init__(message)
        self.advice = advice
        self.sqlstate = sqlstate


class DatabaseReadOnly(OperatorNeeded):
    """Nothing can be written, as on a standby; what is there can be read."""

    def __init__(self) -> None:
        """Says what helps."""
        super().__init__(
            "the database only reads: nothing can be written until that is over",
            advice="let DATABASE_URL lead to the primary, promote this standby, or turn default_transaction_read_only"
            " off for the database and the role; `commontrace doctor` says which",
            sqlstate="25006",
        )


class Busy(CommonTraceError):
    """Somebody else holds what is needed, such as a lock. Nothing has happened; trying again helps."""


class InvalidStoredVector(CommonTraceError):
    """The database refused a vector that is not of unit length: an embedder's fault, never a caller's."""
