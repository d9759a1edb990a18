"""Watch streams: events of traces, until the server shuts down."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from commontrace.core.events.watch import EventWatch
from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.rpc.access import CallAccess, stream_reads
from commontrace.rpc.messages import events
from commontrace.rpc.paging.page_tokens import BY_SEQUENCE
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.v1 import trace_event_pb2


async def stream(
    request: trace_event_pb2.WatchTracesRequest,
    event_watch: EventWatch,
    access: CallAccess,
    shutdown: ShutdownSignal,
) -> AsyncGenerator[trace_event_pb2.WatchTracesResponse]:
    """Yields the events behind the request's token, or from now on, in the namespaces asked for.

    Raises NamespaceNotFound, also while it waits, ServerStopping, and what `events` does.
    """
    stream_reads((await access.resolve()).narrowed(request.filter.namespaces))

    async def readable() -> ReadableNamespaces:
        namespaces = (await access.renew()).narrowed(request.filter.namespaces)
        # With those that the caller has gained meanwhile, whose events it sees from now on.
        stream_reads(namespaces)
        return namespaces

    async with aclosing(event_watch.events(BY_SEQUENCE.position(request), readable)) as batches:
        while True:
            batch = await shutdown.wait_for(anext(batches))
            yield events.batch_message(request, batch)
