"""The RPCs as their descriptors say, and calls of them with bytes that no generated client would send."""

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

import grpc
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

import commontrace.v1

_FILES: list[FileDescriptor] = [
    import_module(f"commontrace.v1.{module.name}").DESCRIPTOR
    for module in iter_modules(commontrace.v1.__path__)
    if module.name.endswith("_pb2")
]
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in _FILES
    for service in file.services_by_name.values()
    for method in service.methods
}
"""Every RPC of the package by its path."""

_ENDLESS = "/commontrace.v1.TraceService/WatchTraces"
_DEADLINE_SECONDS = 10.0


async def call(
    channel: grpc.aio.Channel, rpc: str, payload: bytes | None, metadata: tuple[tuple[str, str], ...] = ()
) -> grpc.aio.AioRpcError | None:
    """Calls, reads everything, and returns the failure if there is one. A hang ends as DEADLINE_EXCEEDED.

    Of what has no end, or is not of the contract, only the first message is read.

    Without a payload, ends the call without sending a message.
    """
    try:
        if payload is None:
            silent: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(rpc)
            async for _ in silent(iter(()), timeout=_DEADLINE_SECONDS, metadata=metadata):
                pass
        elif rpc == _ENDLESS or rpc not in METHODS:
            endless: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(rpc)
            async for _ in (listening := endless(payload, timeout=_DEADLINE_SECONDS, metadata=metadata)):
                listening.cancel()
                break
        elif METHODS[rpc].server_streaming:
            # Also where requests are a stream, since on the wire, one message is a stream of one: grpc.aio loses the
            # status of a stream that is refused while it sends.
            streaming: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(rpc)
            async for _ in streaming(payload, timeout=_DEADLINE_SECONDS, metadata=metadata):
                pass
        else:
            unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(rpc)
            await unary(payload, timeout=_DEADLINE_SECONDS, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def converse(
    channel: grpc.aio.Channel, rpc: str, payloads: Sequence[bytes], metadata: tuple[tuple[str, str], ...] = ()
) -> grpc.aio.AioRpcError | None:
    """Sends each message of a stream when the one before is answered, and returns the failure if there is one."""
    both: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(rpc)
    stream = both(timeout=_DEADLINE_SECONDS, metadata=metadata)
    try:
        for payload in payloads:
            await stream.write(payload)
            if await stream.read() is grpc.aio.EOF:
                break
        else:
            await stream.done_writing()
            await stream.read()
    except grpc.aio.AioRpcError as error:
        return error
    return None
