"""EMBEDDER=openai from the settings to the answer of an RPC, against a real HTTP endpoint and a real database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from structlog.testing import capture_logs

from commontrace.embeddings.embedder import ModelNotUsable
from commontrace.serving import bootstrap
from commontrace.serving.not_ready import NotReady
from commontrace.serving.server import serving
from commontrace.settings import Settings
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.conftest import query, server_settings
from tests.integration.serving.test_bootstrap import ready
from tests.support.builders import a_contribution, hits_of, search
from tests.support.command_in_process import run_in_process
from tests.support.embedding_server import KEY, MODEL, OWN_DIMENSIONS, Answering, EmbeddingServer, failing, slowly, well
from tests.support.hostile_answers import OK, body, bomb, endless, wire
from tests.support.tiny_model import write_model


@pytest.fixture
def endpoint() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as server:
        yield server


def hosted(endpoint: EmbeddingServer, **changes: Any) -> Settings:
    settings = {"embedding_base_url": endpoint.url, "embedding_api_key": KEY, "embedding_model": MODEL}
    return server_settings(**({"embedder": "openai"} | settings | changes))


async def start(url: str, settings: Settings, *, is_embedded: bool = False) -> tuple[str, int]:
    async with ready(url, settings, is_embedded=is_embedded) as foundation:
        return foundation.embedder.model_id, foundation.embedder.dimensions


@asynccontextmanager
async def served(url: str, settings: Settings) -> AsyncIterator[TraceServiceStub]:
    async with (
        ready(url, settings) as foundation,
        serving(settings, foundation) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield TraceServiceStub(channel)


async def test_the_length_of_vectors_is_learnt_once_and_remembered(
    empty_database_url: str, endpoint: EmbeddingServer
) -> None:
    assert await start(empty_database_url, hosted(endpoint)) == (MODEL, OWN_DIMENSIONS)
    rows = await query(empty_database_url, "SELECT id, version, dimensions FROM embedding_models")
    assert [tuple(row) for row in rows] == [(MODEL, "openai", OWN_DIMENSIONS)]
    endpoint.stop()
    with capture_logs() as logs:
        assert await start(empty_database_url, hosted(endpoint)) == (MODEL, OWN_DIMENSIONS)
    assert [line for line in logs if "until the embedding endpoint answers" in line["event"]]
    endpoint.start()


async def test_a_new_database_needs_the_endpoint(empty_database_url: str, endpoint: EmbeddingServer) -> None:
    endpoint.stop()
    with pytest.raises(ModelNotUsable, match=r"cannot be reached.*first start with words-hashed needs it"):
        await start(empty_database_url, hosted(endpoint))
    endpoint.start()
    assert await start(empty_database_url, hosted(endpoint)) == (MODEL, OWN_DIMENSIONS)


@pytest.mark.parametrize("setting", ["embedding_api_key", "embedding_model"])
async def test_a_wrong_setting_is_found_at_any_start(
    empty_database_url: str, endpoint: EmbeddingServer, setting: str
) -> None:
    wrong = hosted(endpoint, **{setting: "sk-wrong"})
    for _ in range(2):
        with pytest.raises(ModelNotUsable, match=f"check {setting.upper()}"):
            await start(empty_database_url, wrong)
        await start(empty_database_url, hosted(endpoint))


async def test_another_model_than_the_databases_names_the_settings_that_fit(
    empty_database_url: str, endpoint: EmbeddingServer, tmp_path: Any
) -> None:
    await start(empty_database_url, hosted(endpoint, embedding_dimensions=32))
    fix = f"EMBEDDER=openai EMBEDDING_MODEL={MODEL}, with EMBEDDING_DIMENSIONS=32"
    own = server_settings(embedder="local", embedding_model_dir=write_model(tmp_path / "own"))
    for other in (own, hosted(endpoint), hosted(endpoint, embedding_dimensions=33)):
        with pytest.raises(NotReady, match=fix):
            await start(empty_database_url, other)
    assert await start(empty_database_url, hosted(endpoint, embedding_dimensions=32)) == (MODEL, 32)


async def test_a_model_of_your_own_names_the_settings_that_fit(
    empty_database_url: str, endpoint: EmbeddingServer, tmp_path: Any
) -> None:
    own = {"embedder": "local", "embedding_model_dir": write_model(tmp_path / "own"), "embedding_model": "team/own"}
    assert await start(empty_database_url, server_settings(**own)) == ("team/own", 24)
    with pytest.raises(NotReady, match=r"EMBEDDING_MODEL=team/own and the same model files in EMBEDDING_MODEL_DIR"):
        await start(empty_database_url, hosted(endpoint))
    assert await start(empty_database_url, server_settings(**own)) == ("team/own", 24)


async def test_an_embedded_database_of_samples_follows_to_the_hosted_model_and_stays_usable_without_it(
    database_url: str, endpoint: EmbeddingServer
) -> None:
    async with ready(
        database_url, server_settings(embedder="lexical", embedding_dimensions=7), is_embedded=True
    ) as old:
        assert await bootstrap.seed(old) == 12
    assert await start(database_url, hosted(endpoint), is_embedded=True) == (MODEL, OWN_DIMENSIONS)
    endpoint.stop()
    assert await start(database_url, hosted(endpoint), is_embedded=True) == (MODEL, OWN_DIMENSIONS)
    endpoint.start()


async def test_samples_that_cannot_be_encoded_keep_no_server_from_starting(
    empty_database_url: str, endpoint: EmbeddingServer
) -> None:
    async with ready(empty_database_url, hosted(endpoint)) as foundation:
        endpoint.answering = failing(401)
        with capture_logs() as logs:
            await bootstrap.seed_if_possible(foundation)
        assert "sample traces are missing" in logs[-1]["event"]
        endpoint.answering = well
        await bootstrap.seed_if_possible(foundation)
    [[seeds]] = await query(empty_database_url, "SELECT count(*) FROM traces")
    assert seeds == 12


HOSTILE = {
    "a number of 4,000 digits": body(b'{"data":[{"embedding":[%s]}]}' % (b"9" * 4000)),
    "a bomb": body(bomb(64), "Content-Encoding: gzip"),
    "an endless body": endless(b" " * 65536, first=OK + b"\r\n"),
    "a redirect": failing(307, Location="http://127.0.0.1:1/v1/embeddings"),
    "no HTTP": wire(b"SSH-2.0-OpenSSH_9.6\r\n"),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_endpoint_is_unavailable_to_callers_and_at_the_start(
    empty_database_url: str, endpoint: EmbeddingServer, hostile: Answering, tmp_path: Path
) -> None:
    settings = hosted(endpoint, encoding_worker=False)
    endpoint.answering = hostile
    with pytest.raises(ModelNotUsable, match="the embedding endpoint"):
        await start(empty_database_url, settings)
    endpoint.answering = well
    async with served(empty_database_url, settings) as traces:
        endpoint.answering = hostile
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await search(traces, text="anything")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "EMBEDDER_UNAVAILABLE: the embedding endpoint" in (caught.value.details() or "")
        created = (await traces.CreateTrace(a_contribution(), timeout=20)).created
        assert created.embedding_state == trace_pb2.EMBEDDING_STATE_PENDING
        environment = {"DATABASE_URL": empty_database_url, "EMBEDDER": "openai", "EMBEDDING_BASE_URL": endpoint.url}
        environment |= {"EMBEDDING_API_KEY": KEY, "EMBEDDING_MODEL": MODEL}
        doctor = await asyncio.to_thread(run_in_process, tmp_path, "doctor", **environment)
        assert "the embedding endpoint" in doctor.stdout
        assert "Traceback" not in doctor.stdout + doctor.stderr


async def test_callers_are_told_when_to_come_back(empty_database_url: str, endpoint: EmbeddingServer) -> None:
    async with served(empty_database_url, hosted(endpoint)) as traces:
        endpoint.answering = failing(429, Retry_After="42")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await search(traces, text="anything")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "EMBEDDER_UNAVAILABLE" in (caught.value.details() or "")
        assert delay_of(caught.value) == 42
        endpoint.answering = well
        created = (await traces.CreateTrace(a_contribution(), timeout=20)).created
        [hit] = hits_of(await search(traces, text="problem number", limit=1))
        assert hit.trace.id == created.id


def delay_of(error: grpc.aio.AioRpcError) -> int:
    status: Any = rpc_status.from_call(error)  # type: ignore[arg-type] # has what it needs
    info = error_details_pb2.RetryInfo()
    [detail] = [detail for detail in status.details if detail.Is(info.DESCRIPTOR)]
    detail.Unpack(info)
    return int(info.retry_delay.seconds)


async def test_the_callers_deadline_ends_the_request_to_the_endpoint(
    empty_database_url: str, endpoint: EmbeddingServer
) -> None:
    async with served(empty_database_url, hosted(endpoint)) as traces:
        endpoint.answering = slowly(10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(traces.SearchTraces(pb.SearchTracesRequest(text="slow", limit=1), timeout=0.5)))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await asyncio.to_thread(endpoint.left.wait, 2)


async def test_a_contribution_ends_the_request_before_the_callers_deadline(
    empty_database_url: str, endpoint: EmbeddingServer
) -> None:
    async with served(empty_database_url, hosted(endpoint, encoding_worker=False)) as traces:
        endpoint.answering = slowly(10)
        created = (await traces.CreateTrace(a_contribution(), timeout=4)).created
        assert created.embedding_state == trace_pb2.EMBEDDING_STATE_PENDING
        assert await asyncio.to_thread(endpoint.left.wait, 2)


async def test_no_transaction_is_open_while_the_endpoint_thinks(
    empty_database_url: str, endpoint: EmbeddingServer
) -> None:
    async with served(empty_database_url, hosted(endpoint, encoding_worker=False)) as traces:
        endpoint.answering = slowly(1)
        endpoint.busy.clear()
        creating = asyncio.ensure_future(traces.CreateTrace(a_contribution(), timeout=20))
        assert await asyncio.to_thread(endpoint.busy.wait, 5)
        open_ones = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start < now()"
        [[count]] = await query(empty_database_url, open_ones + " AND pid <> pg_backend_pid()")
        creating.cancel()
        assert count == 0
