"""Stalled readers of searches, exports and watches, on connections with manual flow control (HTTP/2 windows)."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
from google.protobuf.message import Message

from commontrace.domain import limits
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_event_pb2 import WatchTracesRequest
from commontrace.v1.trace_export_pb2 import ExportTracesRequest
from commontrace.v1.trace_filter_pb2 import TraceFilter
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.conftest import administer
from tests.contract.events.test_watch import many_events
from tests.faults.harness import http2
from tests.faults.server_process import ServerProcess
from tests.support.builders import a_contribution, hits_of, large_copies_of, search

# All that they do not read stays below the bound for all users, and those of a kind below that for one.
READERS_OF_A_KIND, TRACES = 10, 100
# The message that a reader does not read, as an object and serialised, and what was fetched with it: 3.2 MB measured on
# average; 7.3 MB where messages are of 2 MiB.
BYTES_A_READER = 2 * limits.RESPONSE_BYTES
STALL_SECONDS = 30.0
# A trace of 100 KB is more than the window of a stream.
LARGE = "x" * 50_000
A_NUMBER: dict[str, Any] = {"text": "number", "limit": TRACES}
REQUESTS: dict[str, tuple[str, Message]] = {
    "search": ("SearchTraces", pb.SearchTracesRequest(**A_NUMBER, batch_size=1)),
    "filtered": ("SearchTraces", pb.SearchTracesRequest(**A_NUMBER, filter=TraceFilter(agent_models=["m"]))),
    "large messages": ("SearchTraces", pb.SearchTracesRequest(**A_NUMBER, batch_size=TRACES)),
    "export": ("ExportTraces", ExportTracesRequest(batch_size=10)),
    "watch": ("WatchTraces", WatchTracesRequest()),
}


class Reader:
    """Stream whose reader receives what its window holds, and the rest on demand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._received = bytearray()

    @classmethod
    @asynccontextmanager
    async def of(cls, address: str, user: str, rpc: str, request: Message) -> AsyncIterator[Self]:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        path = f"/commontrace.v1.TraceService/{rpc}"
        writer.write(http2.PREFACE + http2.SETTINGS)
        metadata = (("x-commontrace-user", f"{user}@example.org"),)
        writer.write(http2.request(1, path, address, request.SerializeToString(), metadata))
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    async def begin(self) -> None:
        """Reads the first frame: the server has begun to respond."""
        data = await http2.next_data(self._reader)
        assert data is not None, "the stream is empty"
        self._received += data

    async def stall(self) -> None:
        """Reads until the window is full: the server may send no more bytes."""
        async with asyncio.timeout(STALL_SECONDS):
            while len(self._received) < http2.WINDOW_BYTES:
                data = await http2.next_data(self._reader)
                assert data is not None, "the whole stream fits into the window"
                self._received += data

    async def is_stalled(self) -> bool:
        """Tells whether no frame comes. A watch sends one every 10 seconds at least, other streams without a pause."""
        try:
            await asyncio.wait_for(http2.next_data(self._reader), 0.2)
        except TimeoutError:
            return len(self._received) == http2.WINDOW_BYTES
        return False

    async def rest_of_search(self) -> tuple[int, int]:
        """Reads to the end and returns how many hits came and how many were dropped."""
        self._writer.write(http2.window_update(0, 1 << 30) + http2.window_update(1, 1 << 30))
        while data := await http2.next_data(self._reader):
            self._received += data
        messages = [pb.SearchTracesResponse.FromString(message) for message in self._messages()]
        assert messages[-1].summary.hit_count == len(hits_of(messages))
        return messages[-1].summary.hit_count, messages[-1].summary.dropped_count

    def _messages(self) -> list[bytes]:
        messages, start = [], 0
        while start < len(self._received):
            # A byte about compression and four of length before each.
            end = start + 5 + int.from_bytes(self._received[start + 1 : start + 5], "big")
            messages.append(bytes(self._received[start + 5 : end]))
            start = end
        return messages


@pytest.mark.slow
async def test_stalled_readers_hold_no_connection_little_memory_and_slow_nobody(
    tmp_path: Path, database_url: str
) -> None:
    # Any connection that is held would be missed.
    with ServerProcess(tmp_path, DATABASE_URL=database_url, DATABASE_POOL_SIZE="2") as running:
        async with grpc.aio.insecure_channel(running.address) as channel, AsyncExitStack() as connections:
            traces = TraceServiceStub(channel)
            created = await traces.CreateTrace(a_contribution(context=LARGE, solution=LARGE, agent_model="m"))
            await administer(database_url, large_copies_of(created.created.id, TRACES))
            before = running.resident_bytes

            stalled = {
                name: [
                    await connections.enter_async_context(
                        Reader.of(running.address, name.replace(" ", "."), rpc, request)
                    )
                    for _ in range(READERS_OF_A_KIND)
                ]
                for name, (rpc, request) in REQUESTS.items()
            }
            readers = [reader for some in stalled.values() for reader in some]
            await asyncio.gather(*(reader.begin() for reader in readers))
            await administer(database_url, many_events(20_000))
            await asyncio.gather(*(reader.stall() for reader in readers))
            assert all(await asyncio.gather(*(reader.is_stalled() for reader in readers)))

            took = []
            for number in range(1, 21):
                asked = time.perf_counter()
                assert len(hits_of(await search(traces, text="number", limit=1))) == 1
                await traces.ListTraces(pb.ListTracesRequest(page_size=1))
                await traces.CreateTrace(a_contribution(number, tags=["beside"]))
                took.append(time.perf_counter() - asked)
            assert statistics.median(took) < 1
            assert running.resident_bytes - before < len(readers) * BYTES_A_READER

            # What passes the filter no longer, or is deleted, while the reader is slow is counted instead of sent.
            await administer(database_url, "UPDATE traces SET agent_model = 'other'")
            hits, dropped = await stalled["filtered"][0].rest_of_search()
            assert (hits + dropped, dropped > 0) == (TRACES, True)
            assert await stalled["search"][0].rest_of_search() == (TRACES, 0)
            await administer(database_url, "UPDATE traces SET deleted_at = now()")
            for name in ("search", "large messages"):
                hits, dropped = await stalled[name][1].rest_of_search()
                assert (hits + dropped, dropped > 0) == (TRACES, True)
            assert not hits_of(await search(traces, text="number"))
