"""Answers of RPCs, byte for byte: of any RPC by its path, with what the transport carries beside the messages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.text_format import MessageToString
from google.rpc import error_details_pb2, status_pb2

from commontrace.rpc.call_ids import REQUEST_ID_METADATA
from tests.contract.calls import METHODS
from tests.support.keys import Metadata

WATCH = "/commontrace.v1.TraceService/WatchTraces"
_DETAILS = "grpc-status-details-bin"
_DEADLINE_SECONDS = 20.0
# What differs between two calls that are answered alike: times, ids that the server chooses, tokens, and etags.
_VOLATILE = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\b(seconds|nanos): \d+"), r"\1: <time>"),
    (re.compile(r'\b(\w*token|cursor|etag): "[^"]*"'), r"\1: <token>"),
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one call. `trailers` are those without the call's id, of a stream without an end none."""

    code: grpc.StatusCode
    text: str = ""
    details: bytes = b""
    trailers: tuple[tuple[str, bytes], ...] = ()
    responses: tuple[Message, ...] = field(default=(), repr=False)

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        """The reason and its metadata; an empty one of a call that succeeded."""
        found = error_details_pb2.ErrorInfo()
        for detail in status_pb2.Status.FromString(self.details).details:
            detail.Unpack(found)
            if found.reason:
                break
        return found

    def holds(self, text: str) -> bool:
        """Returns whether the text is anywhere in the answer, the trailers included."""
        everywhere = [self.text.encode(), self.details, *(value for _, value in self.trailers)]
        everywhere += [response.SerializeToString() for response in self.responses]
        return any(text.encode() in part for part in everywhere)

    def with_names(self, names: Mapping[str, str]) -> tuple[Any, ...]:
        """Returns all of it with names replaced, for comparison; in responses, what differs anyway is masked."""
        shown = [MessageToString(response) for response in self.responses]
        details, text = self.details, self.text
        for name, other in names.items():
            shown = [one.replace(name, other) for one in shown]
            details, text = details.replace(name.encode(), other.encode()), text.replace(name, other)
        for pattern, mask in _VOLATILE:
            shown = [pattern.sub(mask, one) for one in shown]
        others = tuple(trailer for trailer in self.trailers if trailer[0] != _DETAILS)
        return self.code, text, details, others, shown


async def ask(channel: grpc.aio.Channel, rpc: str, request: Message, metadata: Metadata) -> Answer:
    """Calls and reads everything; of a watch the first message. A stream of requests is the one request."""
    method, payload = METHODS[rpc], request.SerializeToString()
    responses: list[Message] = []
    parse = GetMessageClass(method.output_type).FromString
    call: Any
    code, text = grpc.StatusCode.OK, ""
    try:
        if method.server_streaming:
            streaming: Any = channel.unary_stream(rpc, response_deserializer=parse)
            call = streaming(payload, timeout=_DEADLINE_SECONDS, metadata=metadata)
            async for response in call:
                responses.append(response)
                if rpc == WATCH:
                    call.cancel()
                    return Answer(code=code, responses=tuple(responses))
        else:
            unary: Any = channel.unary_unary(rpc, response_deserializer=parse)
            call = unary(payload, timeout=_DEADLINE_SECONDS, metadata=metadata)
            responses.append(await call)
    except grpc.aio.AioRpcError as error:
        code, text = error.code(), error.details() or ""
    trailers = tuple(
        (key, value if isinstance(value, bytes) else value.encode())
        for key, value in await call.trailing_metadata() or ()
        if key != REQUEST_ID_METADATA
    )
    details = dict(trailers).get(_DETAILS, b"")
    return Answer(code=code, text=text, details=details, trailers=trailers, responses=tuple(responses))
