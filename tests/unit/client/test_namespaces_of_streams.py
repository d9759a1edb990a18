"""Namespaces of streams: named again wherever a stream begins anew."""

import pytest

from commontrace.client import CallOptions, connect, sync
from commontrace.client.streams.import_progress import ImportProgress
from commontrace.client.streams.watch_progress import WatchProgress
from commontrace.v1 import trace_event_pb2, trace_import_pb2, trace_record_pb2


def test_every_message_of_an_import_names_the_namespace() -> None:
    progress = ImportProgress("an id", CallOptions(), namespace="team")
    sent = []
    for number in range(2):
        progress.add(trace_record_pb2.TraceRecord(title=f"t{number}", namespace="recorded"))
        message = progress.flush()
        assert message is not None
        sent.append(progress.send(message))
    progress.begin_stream()
    progress.receive(trace_import_pb2.ImportTracesResponse())
    progress.begin_stream()
    # The second message is the first of the stream that follows.
    again = progress.next_unacknowledged()
    assert again == sent[1]
    assert [(request.import_id, request.namespace) for request in sent] == [("an id", "team")] * 2
    assert [item.trace.namespace for request in sent for item in request.items] == ["recorded"] * 2


def test_an_import_without_a_namespace_leaves_that_to_its_records() -> None:
    progress = ImportProgress("an id", CallOptions())
    assert progress.progress_request().request == trace_import_pb2.ImportTracesRequest(import_id="an id")


def test_every_stream_of_a_watch_names_the_namespaces() -> None:
    progress, position = WatchProgress("", CallOptions(), namespaces=("a", "b")), "later"
    progress.receive(trace_event_pb2.WatchTracesResponse(resume_token=position))
    request = progress.next_request()
    assert (request.resume_token, list(request.filter.namespaces)) == (position, ["a", "b"])
    assert not WatchProgress("", CallOptions()).next_request().HasField("filter")


async def test_a_watch_takes_several_namespaces() -> None:
    async with connect("127.0.0.1:1") as client:
        with pytest.raises(TypeError, match="namespaces must be several strings"):
            client.watch(namespaces="team")
    with sync.connect("127.0.0.1:1") as blocking, pytest.raises(TypeError, match="namespaces must be"):
        blocking.watch(namespaces="team")
