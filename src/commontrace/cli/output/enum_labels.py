"""Labels of the contract's enum values, as people read and type them."""

from typing import TYPE_CHECKING, Literal

from commontrace.cli.output.printing import one_line
from commontrace.domain.namespaces.namespace import COMMONS

if TYPE_CHECKING:
    from commontrace.v1 import namespace_pb2, options_pb2, trace_event_pb2, trace_pb2, vote_pb2

Verdict = Literal["up", "down", "retract"]
OnDuplicate = Literal["return_existing", "reject", "allow"]
DownReason = Literal["outdated", "incorrect", "harmful", "duplicate", "spam"]
Visibility = Literal["private", "readable", "open"]
Role = Literal["reader", "writer", "moderator", "owner"]


def person_label(name: str, user_id: str) -> str:
    """Returns a user's name with the first 8 digits of their id, since names are not unique; the id without a name."""
    return f"{one_line(name)} ({user_id[:8]})" if name else user_id


def namespace_label(name: str) -> str:
    """Returns the label of a trace's namespace, such as `in team`; empty for `commons`, and from an older server."""
    return f"in {one_line(name)}" if name not in ("", COMMONS) else ""


def visibility_label(visibility: "namespace_pb2.NamespaceVisibility.ValueType") -> str:
    """Returns the label of a namespace's visibility, such as `private`."""
    from commontrace.v1 import namespace_pb2

    return namespace_pb2.NamespaceVisibility.Name(visibility).removeprefix("NAMESPACE_VISIBILITY_").lower()


def role_label(role: "namespace_pb2.NamespaceRole.ValueType") -> str:
    """Returns the label of a role, such as `reader`; empty for none."""
    from commontrace.v1 import namespace_pb2

    return namespace_pb2.NamespaceRole.Name(role).removeprefix("NAMESPACE_ROLE_").lower() if role else ""


def scope_label(scope: "options_pb2.Scope.ValueType") -> str:
    """Returns the name of a scope, such as `traces:read`; of one that only a newer server knows, the number."""
    from commontrace.v1 import options_pb2

    known = options_pb2.Scope.DESCRIPTOR.values_by_number.get(scope)
    return str(scope) if known is None else known.name.removeprefix("SCOPE_").lower().replace("_", ":")


def status_label(status: "trace_pb2.TraceStatus.ValueType") -> str:
    """Returns the label of a status, such as `pending`."""
    from commontrace.v1 import trace_pb2

    return trace_pb2.TraceStatus.Name(status).removeprefix("TRACE_STATUS_").lower()


def is_encoding_pending(trace: "trace_pb2.Trace") -> bool:
    """Returns True for a trace that has no vector yet, so that no search finds it."""
    from commontrace.v1 import trace_pb2

    return trace.embedding_state == trace_pb2.EMBEDDING_STATE_PENDING


def event_label(event: "trace_event_pb2.TraceEvent") -> str:
    """Returns the label of an event's type, such as `created`."""
    from commontrace.v1 import trace_event_pb2

    return trace_event_pb2.TraceEventType.Name(event.type).removeprefix("TRACE_EVENT_TYPE_").lower()


def vote_label(vote: "vote_pb2.Vote") -> str:
    """Returns the label of a vote's type, `up` or `down`."""
    from commontrace.v1 import vote_pb2

    return vote_pb2.VoteType.Name(vote.type).removeprefix("VOTE_TYPE_").lower()


def down_reason_label(vote: "vote_pb2.Vote") -> str:
    """Returns the label of a down vote's reason, such as `outdated`; empty for an up vote."""
    from commontrace.v1 import vote_pb2

    return vote_pb2.DownReason.Name(vote.reason).removeprefix("DOWN_REASON_").lower() if vote.reason else ""
