"""Why one item of many failed, as a message."""

from commontrace.rpc import status
from commontrace.v1 import error_reason_pb2


def item_error(error: Exception) -> error_reason_pb2.ItemError:
    """Returns what a call for the item alone would have failed with."""
    code, reason = status.code_and_reason(error)
    text = status.status_of(error, call_id="").details
    return error_reason_pb2.ItemError(code=code.value[0], reason=reason, message=text)
