"""Exit codes of commands, and their mapping from gRPC status codes."""

FAILED, USAGE, NOT_FOUND, CONFLICT, TRY_AGAIN = 1, 2, 3, 4, 5

MEANINGS = {
    0: "done",
    FAILED: "refused, or failed for another reason",
    USAGE: "the command was given wrong",
    NOT_FOUND: "there is no such trace, tag, vote, namespace, user or service",
    CONFLICT: "not yours, your own, there already, or changed since",
    TRY_AGAIN: "no server answers, it is not ready or overloaded: try again",
    130: "ended by Ctrl-C",
}
"""Meanings by exit code, for `--help`."""

# Keyed by the names of gRPC status codes, so that `commontrace --help` need not import grpc.
_BY_STATUS = {
    "NOT_FOUND": NOT_FOUND,
    "ALREADY_EXISTS": CONFLICT,
    "FAILED_PRECONDITION": CONFLICT,
    "ABORTED": CONFLICT,
    "PERMISSION_DENIED": CONFLICT,
    "UNAVAILABLE": TRY_AGAIN,
    # Sent by a server that is shutting down.
    "CANCELLED": TRY_AGAIN,
    "DEADLINE_EXCEEDED": TRY_AGAIN,
    "RESOURCE_EXHAUSTED": TRY_AGAIN,
}

# RESOURCE_EXHAUSTED for these reasons is permanent: the same call fails again.
_PERMANENT_REASONS = {"REQUEST_TOO_LARGE", "RESPONSE_TOO_LARGE", "TOO_MANY_MEMBERS", "TOO_MANY_NAMESPACES"}


def exit_code_of_call(status: str, reason: str) -> int:
    """Returns the exit code for a failed call, by the name of its gRPC code and its ErrorReason ("" without one)."""
    return FAILED if reason in _PERMANENT_REASONS else _BY_STATUS.get(status, FAILED)
