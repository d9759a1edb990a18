"""Call ids (`x-request-id`): the name of a call in the log and in its answer, given by the caller or generated."""

import re
from uuid import uuid4

from commontrace.rpc.call import Metadata

REQUEST_ID_METADATA = "x-request-id"
"""The metadata key of the id that a caller gives, and the key of the trailing metadata that return it."""

# Printable ASCII without spaces: an id can forge neither a field of a log line nor a second line.
_VALID = re.compile(r"[!-~]{1,64}")


def call_id(metadata: Metadata) -> str:
    """Returns the caller's id for the call if it is sent once and valid, else the 32 digits of a new UUID.

    It names a call and does not make a write idempotent: the request's own `request_id` does.
    """
    given = [value for key, value in metadata if key == REQUEST_ID_METADATA]
    if len(given) == 1 and isinstance(given[0], str) and _VALID.fullmatch(given[0]):
        return given[0]
    return uuid4().hex
