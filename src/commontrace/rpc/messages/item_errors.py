"""Translation of the error of one item among many."""

from commontrace.rpc import error_codes
from commontrace.v1 import error_reason_pb2


def item_error(error: Exception) -> error_reason_pb2.ItemError:
    """Returns the code, reason and text that a call for the item alone would have failed with."""
    code, reason = error_codes.code_and_reason(error)
    text = error_codes.status_of(error, call_id="").details
    return error_reason_pb2.ItemError(code=code.value[0], reason=reason, message=text)
