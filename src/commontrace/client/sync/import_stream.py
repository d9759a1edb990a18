# Generated from the asynchronous client by `make generate`. Do not edit.
"""Import stream: sends batches and yields their responses, and reconnects where the stream breaks (ADR 0018)."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from commontrace.client.errors import CallFailed
from commontrace.client.streams.import_progress import ImportProgress, Message, Record
from commontrace.client.sync.calls import Queue, Source, iterate, sleep
from commontrace.v1 import trace_import_pb2

Requests = Iterator[trace_import_pb2.ImportTracesRequest]
Responses = Generator[trace_import_pb2.ImportTracesResponse]
OpenStream = Callable[[Requests, Callable[[], float]], Responses]
"""Sends requests and yields their responses; the function returns how many seconds the next one may take."""


def batch_records(records: Source[Record], progress: ImportProgress) -> Generator[Message]:
    """Yields the records in batches, as few as possible."""
    try:
        for record in iterate(records):
            message = progress.add(record)
            if message is not None:
                yield message
    except CallFailed as failure:
        # Of another call, which makes the records: no reconnect of this one brings them.
        progress.source_failure = failure
        raise
    message = progress.flush()
    if message is not None:
        yield message


def progress_question(progress: ImportProgress) -> Generator[Message]:
    """Yields a single empty message, whose response is the progress of the import."""
    yield progress.progress_request()


def import_responses(open_stream: OpenStream, messages: Generator[Message], progress: ImportProgress) -> Responses:
    """Yields the response to each message, in order, over as many streams as it takes."""
    is_exhausted = False
    while True:
        requests: Queue[trace_import_pb2.ImportTracesRequest | None] = Queue()
        progress.begin_stream()
        try:
            with closing(open_stream(_requests_until_none(requests), progress.seconds_left)) as responses:
                has_begun = False
                while True:
                    while progress.has_room:
                        request = progress.next_unacknowledged()
                        if request is None:
                            message = None if is_exhausted else next(messages, None)
                            if message is None:
                                is_exhausted = True
                                break
                            request = progress.send(message)
                        requests.put_nowait(request)
                    if progress.is_idle:
                        requests.put_nowait(None)
                        if has_begun:
                            next(responses, None)
                        return
                    yield progress.receive(next(responses, None))
                    has_begun = True
        except CallFailed as failure:
            if progress.is_idle and is_exhausted:
                return
            pause = progress.pause_after(failure)
            if pause is None:
                raise
            sleep(pause)
        finally:
            requests.put_nowait(None)


def _requests_until_none(requests: "Queue[trace_import_pb2.ImportTracesRequest | None]") -> Requests:
    while (request := requests.get()) is not None:
        yield request
