"""Search hits cut into messages that every client can receive."""

from collections.abc import Iterable

from commontrace.core import limits
from commontrace.v1 import trace_service_pb2

# Tag and length of a hit; the message's other fields.
_HIT_OVERHEAD_BYTES = 8
_MESSAGE_OVERHEAD_BYTES = 1024


def responses(hits: Iterable[trace_service_pb2.SearchHit]) -> list[trace_service_pb2.SearchTracesResponse]:
    """Returns the hits in one response, or in several where one would exceed 2 MiB; at least one, maybe empty."""
    response = trace_service_pb2.SearchTracesResponse()
    cut = [response]
    size = _MESSAGE_OVERHEAD_BYTES
    for hit in hits:
        hit_bytes = hit.ByteSize() + _HIT_OVERHEAD_BYTES
        if response.hits and size + hit_bytes > limits.RESPONSE_BYTES:
            response = trace_service_pb2.SearchTracesResponse()
            cut.append(response)
            size = _MESSAGE_OVERHEAD_BYTES
        response.hits.append(hit)
        size += hit_bytes
    return cut
