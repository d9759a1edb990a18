import asyncio
import time
from pathlib import Path

import grpc

from commontrace.core import limits
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.builders import hits_of, large_copies_of, search, store_large_trace
from tests.conftest import administer
from tests.faults.server_process import ServerProcess

STALLED, AT_A_TIME, TRACES = 100, 10, 100
# The message that a reader does not read, as an object and serialised, and what was fetched with it: 7.3 MB measured.
BYTES_A_READER = 4 * limits.RESPONSE_BYTES
# A connection of its own: as many streams as one may have are stalled.
OWN = (("grpc.use_local_subchannel_pool", 1),)


async def test_a_hundred_hold_no_connection_little_memory_and_slow_nobody(tmp_path: Path, database_url: str) -> None:
    # Any connection that is held would be missed.
    with ServerProcess(tmp_path, DATABASE_URL=database_url, DATABASE_POOL_SIZE="2") as running:
        async with (
            grpc.aio.insecure_channel(running.address) as channel,
            grpc.aio.insecure_channel(running.address, OWN) as other_channel,
        ):
            traces, slow = TraceServiceStub(channel), TraceServiceStub(other_channel)
            # More than the buffers between server and reader hold: 100 KB a trace.
            await administer(database_url, large_copies_of(await store_large_trace(traces), TRACES))
            before = running.resident_bytes
            request = pb.SearchTracesRequest(text="number", limit=limits.SEARCH_HITS, batch_size=limits.SEARCH_HITS)
            stalled: list[grpc.aio.UnaryStreamCall[pb.SearchTracesRequest, pb.SearchTracesResponse]] = []
            for _ in range(STALLED // AT_A_TIME):
                some = [slow.SearchTraces(request) for _ in range(AT_A_TIME)]
                stalled += some
                for message in await asyncio.gather(*(stream.read() for stream in some)):
                    assert isinstance(message, pb.SearchTracesResponse)
                    assert 0 < len(message.hits) < TRACES
            assert running.resident_bytes - before < STALLED * BYTES_A_READER

            for _ in range(20):
                asked = time.perf_counter()
                assert len(hits_of(await search(traces, text="number", limit=1))) == 1
                assert time.perf_counter() - asked < 1
            # Nor does anybody miss a hit who reads on.
            while isinstance(message := await stalled[0].read(), pb.SearchTracesResponse):
                last = message
            assert (last.summary.hit_count, last.summary.dropped_count) == (TRACES, 0)
            for stream in stalled:
                stream.cancel()
