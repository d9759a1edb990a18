"""What a command's exit code means, and which one a failed call ends with."""

FAILED, USAGE, NOT_FOUND, CONFLICT, TRY_AGAIN = 1, 2, 3, 4, 5

MEANINGS = {
    0: "done",
    FAILED: "refused, or failed for another reason",
    USAGE: "the command was given wrong",
    NOT_FOUND: "there is no such trace, tag, vote or service",
    CONFLICT: "not yours, your own, there already, or changed since",
    TRY_AGAIN: "no server answers, it is not ready or overloaded: try again",
    130: "ended by Ctrl-C",
}
"""By exit code, for people."""

# Keyed by the names of gRPC status codes, so that `commontrace --help` need not import grpc.
_BY_STATUS = {
    "NOT_FOUND": NOT_FOUND,
    "ALREADY_EXISTS": CONFLICT,
    "FAILED_PRECONDITION": CONFLICT,
    "ABORTED": CONFLICT,
    "PERMISSION_DENIED": CONFLICT,
    "UNAVAILABLE": TRY_AGAIN,
    # A server that stops.
    "CANCELLED": TRY_AGAIN,
    "DEADLINE_EXCEEDED": TRY_AGAIN,
    "RESOURCE_EXHAUSTED": TRY_AGAIN,
}

# Of the same code as what passes by itself, these do not.
_LASTING_REASONS = {"REQUEST_TOO_LARGE", "RESPONSE_TOO_LARGE"}


def exit_code_of_call(status: str, reason: str) -> int:
    """Returns the exit code for a call that failed with a gRPC code and a reason of the contract (or none)."""
    return FAILED if reason in _LASTING_REASONS else _BY_STATUS.get(status, FAILED)
