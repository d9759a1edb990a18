"""What can go wrong, in the domain's words. `rpc/status.py` alone knows the status codes."""

from collections.abc import Mapping
from uuid import UUID


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


class Overloaded(CommonTraceError):
    """Every database connection was busy for too long."""


class DatabaseUnavailable(CommonTraceError):
    """The database cannot be reached or did not answer in time."""


class InvalidStoredVector(CommonTraceError):
    """The database refused a vector that is not of unit length: an embedder's fault, never a caller's."""
