# Generated from the asynchronous client by `make generate`. Do not edit.
"""The answers to an import, over all the streams that it takes."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from commontrace.client.errors import CallFailed
from commontrace.client.streams.import_progress import ImportProgress, Message, Record
from commontrace.client.sync.calls import Queue, Source, each, sleep
from commontrace.v1 import trace_import_pb2

Requests = Iterator[trace_import_pb2.ImportTracesRequest]
Responses = Generator[trace_import_pb2.ImportTracesResponse]
OpenStream = Callable[[Requests, Callable[[], float]], Responses]
"""Sends requests and yields their answers, waiting for each as long as the function says."""


def gathered(records: Source[Record], progress: ImportProgress) -> Generator[Message]:
    """Yields the records in as few messages as hold them."""
    for record in each(records):
        message = progress.gather(record)
        if message is not None:
            yield message
    message = progress.gathered()
    if message is not None:
        yield message


def question(progress: ImportProgress) -> Generator[Message]:
    """Yields the one message that asks how far an import has come."""
    yield progress.question()


def answers(open_stream: OpenStream, messages: Generator[Message], progress: ImportProgress) -> Responses:
    """Yields the answer to each message, in their order. Where the stream breaks, another one goes on."""
    is_over = False
    while True:
        requests: Queue[trace_import_pb2.ImportTracesRequest | None] = Queue()
        progress.begin()
        try:
            with closing(open_stream(_until_none(requests), progress.seconds_left)) as responses:
                has_begun = False
                while True:
                    while progress.has_room:
                        request = progress.repeated()
                        if request is None:
                            message = None if is_over else next(messages, None)
                            if message is None:
                                is_over = True
                                break
                            request = progress.send(message)
                        requests.put_nowait(request)
                    if progress.is_idle:
                        requests.put_nowait(None)
                        if has_begun:
                            next(responses, None)
                        return
                    yield progress.take(next(responses, None))
                    has_begun = True
        except CallFailed as failure:
            if progress.is_idle and is_over:
                return
            pause = progress.pause_after(failure)
            if pause is None:
                raise
            sleep(pause)
        finally:
            requests.put_nowait(None)


def _until_none(requests: "Queue[trace_import_pb2.ImportTracesRequest | None]") -> Requests:
    while (request := requests.get()) is not None:
        yield request
