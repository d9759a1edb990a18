"""The answers to an import, over all the streams that it takes."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from commontrace.client.aio.calls import Queue, Source, each, sleep
from commontrace.client.errors import CallFailed
from commontrace.client.streams.import_progress import ImportProgress, Message, Record
from commontrace.v1 import trace_import_pb2

Requests = AsyncIterator[trace_import_pb2.ImportTracesRequest]
Responses = AsyncGenerator[trace_import_pb2.ImportTracesResponse]
OpenStream = Callable[[Requests, Callable[[], float]], Responses]
"""Sends requests and yields their answers, waiting for each as long as the function says."""


async def gathered(records: Source[Record], progress: ImportProgress) -> AsyncGenerator[Message]:
    """Yields the records in as few messages as hold them."""
    async for record in each(records):
        message = progress.gather(record)
        if message is not None:
            yield message
    message = progress.gathered()
    if message is not None:
        yield message


async def question(progress: ImportProgress) -> AsyncGenerator[Message]:
    """Yields the one message that asks how far an import has come."""
    yield progress.question()


async def answers(open_stream: OpenStream, messages: AsyncGenerator[Message], progress: ImportProgress) -> Responses:
    """Yields the answer to each message, in their order. Where the stream breaks, another one goes on."""
    is_over = False
    while True:
        requests: Queue[trace_import_pb2.ImportTracesRequest | None] = Queue()
        progress.begin()
        try:
            async with aclosing(open_stream(_until_none(requests), progress.seconds_left)) as responses:
                has_begun = False
                while True:
                    while progress.has_room:
                        request = progress.repeated()
                        if request is None:
                            message = None if is_over else await anext(messages, None)
                            if message is None:
                                is_over = True
                                break
                            request = progress.send(message)
                        requests.put_nowait(request)
                    if progress.is_idle:
                        requests.put_nowait(None)
                        if has_begun:
                            await anext(responses, None)
                        return
                    yield progress.take(await anext(responses, None))
                    has_begun = True
        except CallFailed as failure:
            if progress.is_idle and is_over:
                return
            pause = progress.pause_after(failure)
            if pause is None:
                raise
            await sleep(pause)
        finally:
            requests.put_nowait(None)


async def _until_none(requests: "Queue[trace_import_pb2.ImportTracesRequest | None]") -> Requests:
    while (request := await requests.get()) is not None:
        yield request
