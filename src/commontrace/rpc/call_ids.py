"""What names a call in the log and in its answer: the caller's own name for it, or one of ours."""

import re
from uuid import uuid4

from commontrace.rpc.call import Metadata

REQUEST_ID_METADATA = "x-request-id"
"""The metadata key that brings a caller's name for a call, and the trailing metadata that return the call's."""

# Printable ASCII without spaces: it can forge no field of a log line and no second one.
_TAKEN = re.compile(r"[!-~]{1,64}")


def call_id(metadata: Metadata) -> str:
    """Returns the caller's name for the call if it is sent once and can be taken as it is, else a UUID's 32 digits.

    It identifies a call, not a write: the request's own `request_id` alone keeps a write from being repeated.
    """
    given = [value for key, value in metadata if key == REQUEST_ID_METADATA]
    if len(given) == 1 and isinstance(given[0], str) and _TAKEN.fullmatch(given[0]):
        return given[0]
    return uuid4().hex
