"""Traces that wait for their vector: who encodes them, when, and what keeps wrong vectors out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.core.encoding_queue import (
    LEASE_SECONDS,
    MOST_ATTEMPTS,
    ModelReplaced,
    Outcome,
    queue_again,
    take_turn,
)
from commontrace.core.encoding_worker import encode_what_is_due, keep_encoding
from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, Embedding
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.server import serving
from commontrace.storage.database import Database
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.builders import a_contribution, hits_of, search
from tests.conftest import administer, query
from tests.embedding_server import EmbeddingServer, failing, slowly, well
from tests.integration.test_hosted_embedder import hosted, served

PENDING, READY = trace_pb2.EMBEDDING_STATE_PENDING, trace_pb2.EMBEDDING_STATE_READY


@pytest.fixture
def endpoint() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as server:
        yield server


async def eventually(ask: Callable[[], Any], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await ask():
            await asyncio.sleep(0.02)


async def test_while_the_endpoint_is_away_traces_wait_and_are_found_when_it_is_back(
    empty_database_url: str, endpoint: EmbeddingServer
) -> None:
    async with served(empty_database_url, hosted(endpoint)) as traces:
        before = (await traces.CreateTrace(a_contribution(0), timeout=20)).created
        endpoint.stop()
        created = [(await traces.CreateTrace(a_contribution(n), timeout=10)) for n in range(1, 4)]
        assert {(c.created.embedding_state, c.tokens_read, c.tokens_total) for c in created} == {(PENDING, 0, 0)}
        endpoint.start()

        async def all_ready() -> bool:
            states = [
                (await traces.GetTrace(pb.GetTraceRequest(trace_id=c.created.id))).trace.embedding_state
                for c in created
            ]
            return states == [READY] * 3

        await eventually(all_ready)
        hits = hits_of(await search(traces, text="trace number", limit=10))
        assert {hit.trace.id for hit in hits} == {before.id, *(c.created.id for c in created)}
        assert {hit.trace.update_time.ToNanoseconds() == hit.trace.create_time.ToNanoseconds() for hit in hits} == {
            True
        }
