"""One user who takes all there is: `python -m tests.faults.harness.greedy_user ADDRESS WAY SECONDS [CREDENTIALS]`.

Prints how its calls were answered.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import grpc
from google.protobuf.message import Message

from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_export_pb2 import ExportTracesRequest
from tests.contract.errors.error_row import CREATE, EXPORT, IMPORT, LIST, SEARCH, VALID, WATCH
from tests.faults.harness import http2
from tests.support.keys import Metadata

_TEXT = "number trace context solution problem appeared " * 20
_PAUSE_SECONDS = 0.01
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
_CHANNELS = 4

_ALL_HITS = pb.SearchTracesRequest(text=_TEXT, limit=1000, batch_size=1000)
_ALL_TRACES = pb.ListTracesRequest(page_size=500, view=trace_pb2.TRACE_VIEW_FULL)
_CALLS: dict[str, tuple[str, Message]] = {
    "searches": (SEARCH, pb.SearchTracesRequest(text=_TEXT, limit=5)),
    "wide searches": (SEARCH, _ALL_HITS),
    "lists": (LIST, _ALL_TRACES),
    "contributions": (CREATE, pb.CreateTraceRequest(title="a", context="b" * 50_000, solution="c" * 50_000)),
}
_CALLS_AT_A_TIME = 200
_STREAMS = ((WATCH, VALID[WATCH]), (EXPORT, ExportTracesRequest(batch_size=1)), (IMPORT, VALID[IMPORT]))
_STREAMS_OF_A_KIND = 300
_UNREAD = ((LIST, _ALL_TRACES), (EXPORT, ExportTracesRequest(batch_size=100)), (SEARCH, _ALL_HITS))
_CONNECTIONS, _CALLS_A_CONNECTION = 40, 50

UNREAD_ANSWERS = "unread answers"
WAYS = (*_CALLS, "streams", UNREAD_ANSWERS)


async def take(address: str, way: str, seconds: float, metadata: Metadata) -> Counter[str]:
    """Takes what there is in one way, for so long, and returns how often each code was the answer."""
    answers: Counter[str] = Counter()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), AsyncExitStack() as connections:
            if way == UNREAD_ANSWERS:
                await _leave_unread(address, metadata, connections)
            channels = [
                await connections.enter_async_context(grpc.aio.insecure_channel(address, _OPTIONS))
                for _ in range(_CHANNELS)
            ]
            asked = [_CALLS[way]] * _CALLS_AT_A_TIME if way in _CALLS else list(_STREAMS) * _STREAMS_OF_A_KIND
            await asyncio.gather(
                *(
                    _again_and_again(channels[number % _CHANNELS], *one, metadata, answers)
                    for number, one in enumerate(asked)
                )
            )
    return answers


async def _again_and_again(
    channel: grpc.aio.Channel, rpc: str, request: Message, metadata: Metadata, answers: Counter[str]
) -> None:
    message = request.SerializeToString()
    # On the wire, one message is a stream of one.
    ask: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(rpc)
    ask_on: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(rpc)
    while True:
        try:
            answer = ask_on(_and_wait(message), metadata=metadata) if rpc == IMPORT else ask(message, metadata=metadata)
            async for _ in answer:
                pass
            answers["OK"] += 1
        except grpc.aio.AioRpcError as error:
            answers[error.code().name] += 1
            # Even the greediest leaves the processor, which they share, to those whom it is to harm.
            await asyncio.sleep(_PAUSE_SECONDS)


async def _and_wait(message: bytes) -> AsyncIterator[bytes]:
    yield message
    await asyncio.Event().wait()


async def _leave_unread(address: str, metadata: Metadata, connections: AsyncExitStack) -> None:
    host, _, port = address.rpartition(":")
    for number in range(_CONNECTIONS):
        _, writer = await asyncio.open_connection(host, int(port))
        connections.callback(writer.transport.abort)
        writer.write(http2.PREFACE + http2.NO_WINDOW)
        rpc, request = _UNREAD[number % len(_UNREAD)]
        for call in range(_CALLS_A_CONNECTION):
            writer.write(http2.request(2 * call + 1, rpc, address, request.SerializeToString(), metadata))
    await asyncio.Event().wait()


if __name__ == "__main__":
    address, way, seconds, *credentials = sys.argv[1:]
    said = tuple(("authorization", value) for value in credentials)
    counted = asyncio.run(take(address, way, float(seconds), said))
    sys.stdout.write(", ".join(f"{count} {answer}" for answer, count in counted.most_common()))
