"""`commontrace serve` with EMBEDDER=openai, while its endpoint comes and goes."""

import asyncio
from pathlib import Path

import grpc
import numpy as np
import pytest

from commontrace.client import CallFailed, connect
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.v1 import trace_pb2, vector_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.faults.server_process import ServerProcess, run_command
from tests.support.builders import a_contribution, hits_of, search
from tests.support.embedding_server import KEY, MODEL, OWN_DIMENSIONS, EmbeddingServer

READY = trace_pb2.EMBEDDING_STATE_READY


async def test_the_endpoint_goes_comes_back_and_is_away_at_a_restart(tmp_path: Path) -> None:
    with EmbeddingServer() as endpoint:
        settings = {
            "EMBEDDER": "openai",
            "EMBEDDING_BASE_URL": endpoint.url,
            "EMBEDDING_API_KEY": KEY,
            "EMBEDDING_MODEL": MODEL,
        }
        with ServerProcess(tmp_path, **settings) as server:
            async with grpc.aio.insecure_channel(server.address) as channel:
                traces = TraceServiceStub(channel)
                created = await traces.CreateTrace(a_contribution(7), timeout=20)
                words = sum(len(text.split()) for text in ("Trace number 7", *_rest(created)))
                assert (created.tokens_read, created.tokens_total) == (words, words)
                await assert_found(traces, created.created.id)

                endpoint.stop()
                await assert_text_unavailable(server.address)
                waiting = (await traces.CreateTrace(a_contribution(8), timeout=20)).created
                assert waiting.embedding_state == trace_pb2.EMBEDDING_STATE_PENDING
                await assert_found_without_text(traces, created.created.id)
                doctor = await asyncio.to_thread(
                    run_command, tmp_path, "doctor", "--address", server.address, **settings
                )
                assert (doctor.returncode, doctor.stderr) == (0, "")
                assert f"warning  model       {MODEL} cannot encode text now: " in doctor.stdout
                assert "ok       queue       waiting for vectors: 1, the first for " in doctor.stdout

                endpoint.start()
                await assert_found(traces, created.created.id)
                await assert_found_in_the_end(traces, waiting.id)
            assert KEY not in server.stderr + server.stdout
        endpoint.stop()
        with ServerProcess(tmp_path, **settings) as server:
            assert "text cannot be encoded until the embedding endpoint answers" in server.stderr
            async with grpc.aio.insecure_channel(server.address) as channel:
                traces = TraceServiceStub(channel)
                await assert_text_unavailable(server.address)
                await assert_found_without_text(traces, created.created.id)
                endpoint.start()
                await assert_found(traces, created.created.id)
            assert "Traceback" not in server.stderr


def _rest(created: pb.CreateTraceResponse) -> tuple[str, str]:
    return created.created.context, created.created.solution


async def assert_found(traces: TraceServiceStub, trace_id: str) -> None:
    for ranking in (pb.RANKING_COSINE, pb.RANKING_BEST):
        [hit] = hits_of(await search(traces, text="trace number 7", limit=1, ranking=ranking))
        assert hit.trace.id == trace_id


async def assert_found_in_the_end(traces: TraceServiceStub, trace_id: str) -> None:
    async with asyncio.timeout(60):
        while (await traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id))).trace.embedding_state != READY:  # noqa: ASYNC110 - the server is asked
            await asyncio.sleep(0.05)
    assert trace_id in {hit.trace.id for hit in hits_of(await search(traces, text="trace number 8", limit=2))}


async def assert_found_without_text(traces: TraceServiceStub, trace_id: str) -> None:
    vector = LexicalEmbedder(OWN_DIMENSIONS).embed("trace number 7").vector
    packed = vector_pb2.Vector(model_id=MODEL, packed_f32=np.asarray(vector, "<f4").tobytes())
    [hit] = hits_of(await search(traces, embedding=packed, limit=1))
    assert hit.trace.id == trace_id
    assert trace_id in {trace.id for trace in (await traces.ListTraces(pb.ListTracesRequest(page_size=3))).traces}


async def assert_text_unavailable(address: str) -> None:
    async with connect(address) as client:
        with pytest.raises(CallFailed) as caught:
            await client.search("asked while the endpoint is away")
        assert caught.value.reason == "EMBEDDER_UNAVAILABLE"


def test_a_first_start_without_its_endpoint_or_key_says_what_it_needs(tmp_path: Path) -> None:
    with EmbeddingServer() as endpoint:
        settings = {"EMBEDDER": "openai", "EMBEDDING_BASE_URL": endpoint.url, "EMBEDDING_MODEL": MODEL}
        refused = run_command(tmp_path, "serve", EMBEDDING_API_KEY="sk-wrong", **settings)
        endpoint.stop()
        away = run_command(tmp_path, "serve", EMBEDDING_API_KEY=KEY, **settings)
        endpoint.start()

    for ended, said in (
        (refused, "check EMBEDDING_API_KEY"),
        (away, "cannot be reached, and a database's first start"),
    ):
        assert (ended.returncode, ended.stdout) == (1, "")
        [line] = ended.stderr.splitlines()
        assert said in line
        assert "sk-" not in line
