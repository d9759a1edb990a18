"""Events as a stream that ends when the server stops."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from commontrace.core.events.watch import EventWatch
from commontrace.rpc.messages import events
from commontrace.rpc.paging.page_tokens import BY_SEQUENCE
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.v1 import trace_event_pb2


async def stream(
    request: trace_event_pb2.WatchTracesRequest, watching: EventWatch, stopping: ShutdownSignal
) -> AsyncGenerator[trace_event_pb2.WatchTracesResponse]:
    """Yields what happens behind the request's token, or from now on. Raises ServerStopping."""
    async with aclosing(watching.events(BY_SEQUENCE.position(request))) as everything:
        while True:
            told = await stopping.unless_begun(anext(everything))
            yield events.told_message(request, told)
