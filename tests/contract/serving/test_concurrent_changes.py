"""Writes whose preparation concurrent changes outdate: prepared anew, and refused when that has no end."""

from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2

from commontrace.core import concurrent_changes
from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.serving.monitoring.wrapped_embedder import WrappedEmbedder
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, ServerFactory, administer
from tests.contract.callers import reason_of
from tests.contract.errors.error_promises import details
from tests.support.builders import a_contribution

ATTEMPTS = 4


class EditedMeanwhile(WrappedEmbedder):
    """An embedder during whose next encodings others edit every trace."""

    def __init__(self, embedder: Embedder, url: str) -> None:
        super().__init__(embedder)
        self._url = url
        self.edits = self.encodings = 0

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        self.encodings += 1
        if self.edits:
            self.edits -= 1
            await administer(self._url, "UPDATE traces SET edit_number = edit_number + 1")
        return await self.inner.encode(texts)


@pytest.fixture
def edited_meanwhile(embedder: Embedder, database_url: str) -> EditedMeanwhile:
    return EditedMeanwhile(embedder, database_url)


@pytest.fixture
async def server(
    start_server: ServerFactory, edited_meanwhile: EditedMeanwhile, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RunningServer]:
    monkeypatch.setattr(concurrent_changes, "MAX_ATTEMPTS", ATTEMPTS)
    async with start_server(embedder=edited_meanwhile) as running:
        yield running


async def an_edit(server: RunningServer) -> pb.UpdateTraceRequest:
    created = (await server.traces.CreateTrace(a_contribution())).created
    trace = trace_pb2.Trace(id=created.id, title="A new title")
    return pb.UpdateTraceRequest(trace=trace, update_mask=FieldMask(paths=["title"]), request_id=str(uuid4()))


async def test_an_edit_that_is_outdated_is_prepared_anew(
    server: RunningServer, edited_meanwhile: EditedMeanwhile
) -> None:
    request = await an_edit(server)
    edited_meanwhile.edits = ATTEMPTS - 1
    edited = await server.traces.UpdateTrace(request)
    assert (edited.trace.title, edited.trace.revision) == ("A new title", 2)


async def test_an_edit_that_is_outdated_every_time_is_refused_and_can_be_repeated(
    server: RunningServer, edited_meanwhile: EditedMeanwhile
) -> None:
    request = await an_edit(server)
    edited_meanwhile.edits, encodings = ATTEMPTS, edited_meanwhile.encodings
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await server.traces.UpdateTrace(request)
    assert failure.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    [info] = details(failure.value, error_details_pb2.ErrorInfo)
    assert info.reason == "OVERLOADED"
    [retry] = details(failure.value, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToTimedelta().total_seconds() == 0.5
    assert edited_meanwhile.encodings == encodings + ATTEMPTS
    stored = (await server.traces.GetTrace(pb.GetTraceRequest(trace_id=request.trace.id))).trace
    assert stored.revision == 1
    assert await reason_of(server.traces.UpdateTrace(request)) == "OK"
