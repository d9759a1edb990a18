"""What a row of the error table says, and the requests that rows start from."""

from dataclasses import dataclass

import grpc
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from commontrace.v1 import trace_service_pb2 as pb

INFO, CREATE, GET, SEARCH = (
    f"/commontrace.v1.TraceService/{name}" for name in ("GetServiceInfo", "CreateTrace", "GetTrace", "SearchTraces")
)
UNKNOWN_ID = "123e4567-e89b-12d3-a456-426614174000"

VALID: dict[str, Message] = {
    INFO: pb.GetServiceInfoRequest(),
    CREATE: pb.CreateTraceRequest(title="a", context="b", solution="c"),
    GET: pb.GetTraceRequest(trace_id=UNKNOWN_ID),
    SEARCH: pb.SearchTracesRequest(text="why does it fail?"),
}
"""One request of every RPC that breaks no rule."""

Metadata = tuple[tuple[str, str], ...]
Code = grpc.StatusCode


@dataclass(frozen=True, kw_only=True)
class Row:
    """A call and how it fails.

    Without a request, the call ends without a message. Without a reason, the transport refuses it, without details.
    """

    name: str
    rpc: str
    request: Message | bytes | None
    code: grpc.StatusCode
    reason: str = ""
    field: str = ""
    metadata: Metadata = ()

    @property
    def payload(self) -> bytes | None:
        return self.request.SerializeToString() if isinstance(self.request, Message) else self.request


def invalid(rpc: str, name: str, reason: str, field: str, request: Message) -> Row:
    return Row(name=name, rpc=rpc, request=request, code=Code.INVALID_ARGUMENT, reason=reason, field=field)


def malformed(rpc: str, name: str, request: bytes | None) -> Row:
    return Row(name=name, rpc=rpc, request=request, code=Code.INVALID_ARGUMENT, reason="MALFORMED_REQUEST")


def objects(levels: int) -> Struct:
    """As many objects, one in the other."""
    outermost = innermost = Struct()
    for _ in range(levels - 1):
        innermost = innermost.fields["k"].struct_value
    innermost.fields["k"].null_value = 0  # type: ignore[assignment] # its only value
    return outermost


def lists(levels: int) -> Struct:
    """As many levels: lists, one in the other, in an object."""
    outermost = Struct()
    innermost = outermost.fields["k"]
    for _ in range(levels - 1):
        innermost = innermost.list_value.values.add()
    innermost.null_value = 0  # type: ignore[assignment] # its only value
    return outermost


def delimited(field: int, content: bytes) -> bytes:
    """The encoding of a field that holds bytes, text or a message."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
