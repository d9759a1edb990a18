"""Re-encoding under running servers, and starts during a re-encoding (ADR 0020)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from commontrace.cli.doctor import checks as doctor_checks
from commontrace.client import vector
from commontrace.domain.doctor.findings import Finding, Level
from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.embeddings.local.model import LocalModel
from commontrace.serving import bootstrap
from commontrace.serving.bootstrap import Postgres
from commontrace.serving.not_ready import NotReady
from commontrace.settings import Settings
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, ServerFactory, server_settings
from tests.contract.callers import reason_of
from tests.integration.storage.reembedding_runs import move_to
from tests.support.builders import a_contribution, health_of, hits_of, search
from tests.support.tiny_model import random_weights, write_model, write_weights

OTHER = LexicalEmbedder(96)
SERVICE = "commontrace.v1.TraceService"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[LocalModel]:
    """Directory of a model."""
    model = LocalModel.load(write_model(tmp_path / "own"))
    yield model
    await model.close()


async def serves(server: RunningServer, model: Any) -> None:
    """Waits until an idle server follows the model."""
    async with asyncio.timeout(15):
        while True:
            info = (await server.traces.GetServiceInfo(pb.GetServiceInfoRequest())).embedding_model
            if (info.id, info.version, info.dimensions) == (model.model_id, model.model_version, model.dimensions):
                return
            await asyncio.sleep(0.05)


async def health_is(server: RunningServer, status: int) -> None:
    async with asyncio.timeout(15):
        while True:
            if await health_of(server.channel, SERVICE) == status:
                return
            await asyncio.sleep(0.05)


async def titles(server: RunningServer, **asked: Any) -> list[str]:
    return [hit.trace.title for hit in hits_of(await search(server.traces, **asked))]


async def test_an_idle_server_notices(server: RunningServer, database_url: str) -> None:
    await move_to(OTHER, database_url)
    await serves(server, OTHER)


async def test_the_first_call_after_the_swap_is_by_the_new_model(
    server: RunningServer, database_url: str, embedder: Embedder
) -> None:
    created = (await server.traces.CreateTrace(a_contribution(1))).created
    old = vector((await embedder.encode(["x"]))[0].vector, model_id=embedder.model_id)
    assert await titles(server, embedding=old) == [created.title]
    text: dict[str, Any] = {"text": "Trace number 1"}
    for asked in (text, text | {"exact": True}, text | {"ranking": pb.RANKING_BEST}, {"embedding": old}):
        await move_to(OTHER, database_url)
        if "text" in asked:
            assert await titles(server, **asked) == [created.title]
        else:
            assert await reason_of(titles(server, **asked)) == "EMBEDDING_MODEL_MISMATCH"
        await move_to(embedder, database_url)
        if "text" in asked:
            assert await titles(server, trace_id=created.id) == []
        await serves(server, embedder)


async def test_a_write_prepared_by_the_old_model_is_prepared_again(
    start_server: ServerFactory, database_url: str, embedder: Embedder
) -> None:
    class Slow:
        """Encodes, sets an event, and returns after another event is set."""

        def __init__(self) -> None:
            self.model_id, self.model_version = embedder.model_id, embedder.model_version
            self.dimensions, self.is_lexical = embedder.dimensions, embedder.is_lexical
            self.has_encoded, self.may_answer = asyncio.Event(), asyncio.Event()
            self.may_answer.set()

        async def encode(self, texts: Any) -> Any:
            embeddings = await embedder.encode(texts)
            self.has_encoded.set()
            await self.may_answer.wait()
            return embeddings

        async def close(self) -> None:
            pass

    slow = Slow()
    async with start_server(embedder=slow) as server:
        created = (await server.traces.CreateTrace(a_contribution(1))).created
        slow.has_encoded.clear()
        slow.may_answer.clear()
        creating = asyncio.create_task(_call(server.traces.CreateTrace(a_contribution(2))))
        edit = pb.UpdateTraceRequest(trace={"id": created.id, "title": "Edited"}, update_mask={"paths": ["title"]})  # type: ignore[arg-type] # protobuf takes both
        await slow.has_encoded.wait()
        slow.has_encoded.clear()
        editing = asyncio.create_task(_call(server.traces.UpdateTrace(edit)))
        await slow.has_encoded.wait()
        await move_to(OTHER, database_url)
        slow.may_answer.set()
        await creating
        await editing
        assert sorted(await titles(server, text="Trace", limit=10)) == ["Edited", "Trace number 2"]


async def _call(call: Any) -> Any:
    return await call


async def test_a_server_without_the_model_answers_nothing_wrong(
    server: RunningServer, database_url: str, own: LocalModel, embedder: Embedder
) -> None:
    created = (await server.traces.CreateTrace(a_contribution(1))).created
    await move_to(own, database_url)
    for call in (
        server.traces.CreateTrace(a_contribution(2)),
        search(server.traces, text="x", limit=10),
        search(server.traces, trace_id=created.id),
        search(server.traces, text="x", exact=True),
    ):
        assert await reason_of(call) == "EMBEDDER_UNAVAILABLE"
    assert len((await server.traces.ListTraces(pb.ListTracesRequest())).traces) == 1
    await health_is(server, NOT_SERVING)
    await move_to(embedder, database_url)
    await health_is(server, SERVING)
    assert await titles(server, text="Trace number 1") == [created.title]


async def test_other_weights_of_the_same_name_and_length(
    start_server: ServerFactory, database_url: str, tmp_path: Path, own: LocalModel
) -> None:
    await move_to(own, database_url)
    settings = server_settings(embedding_model_dir=tmp_path / "own")
    async with start_server(embedder=own, settings=settings) as server:
        created = (await server.traces.CreateTrace(a_contribution(1))).created
        write_weights(tmp_path / "own" / "model.safetensors", random_weights(seed=1))
        newer = LocalModel.load(tmp_path / "own")
        assert (newer.model_id, newer.dimensions) == (own.model_id, own.dimensions)
        await move_to(newer, database_url)
        asked = {"text": f"{created.title}\n\n{created.context}\n\n{created.solution}"}
        [hit] = hits_of(await search(server.traces, **asked))
        assert hit.similarity > 0.999
        await serves(server, newer)
        await newer.close()


async def test_a_start_with_the_next_settings_serves_by_the_current_model(
    database_url: str, tmp_path: Path, own: LocalModel, embedder: Embedder
) -> None:
    where = Postgres(url=database_url, is_embedded=False)
    to_own = server_settings(embedding_model_dir=tmp_path / "own")

    async def started(settings: Settings) -> str:
        async with bootstrap.foundation(where, settings) as foundation:
            return foundation.embedder.model_id

    with pytest.raises(NotReady, match="or move the database to the model of the settings with `commontrace reembed`"):
        await started(to_own)
    async with bootstrap.reembedding(where) as steps:
        await steps.start(own)
    assert await started(to_own) == embedder.model_id
    assert await started(server_settings()) == embedder.model_id
    with pytest.raises(NotReady, match="the database's vectors come from"):
        await started(server_settings(embedder="lexical"))
    await move_to(own, database_url)
    assert await started(to_own) == "own"

    # From one directory to another: the first is nowhere in the settings of the second.
    write_model(tmp_path / "second")
    write_weights(tmp_path / "second" / "model.safetensors", random_weights(seed=1))
    second = LocalModel.load(tmp_path / "second")
    async with bootstrap.reembedding(where) as steps:
        await steps.start(second)
    with pytest.raises(NotReady, match=r"is being moved to second, and until .* is done it takes own.*when it is done"):
        await started(server_settings(embedding_model_dir=tmp_path / "second"))
    await second.close()


async def test_doctor_tells_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, server: RunningServer, database_url: str
) -> None:
    await server.traces.CreateTrace(a_contribution(1))
    monkeypatch.setenv("DATABASE_URL", database_url)

    async def found() -> dict[str, Finding]:
        return {finding.check: finding async for finding in doctor_checks.run_checks("127.0.0.1:1")}

    async with bootstrap.reembedding(Postgres(url=database_url, is_embedded=False)) as steps:
        await steps.start(OTHER)
        finding = (await found())["reembed"]
        assert (finding.level, finding.message) == (
            Level.OK,
            "being moved to lexical-hash 1 of 96 dimensions: 0 of 1 traces are encoded",
        )
    finding = (await found())["reembed"]
    assert (finding.level, "nobody goes on" in finding.message) == (Level.WARNING, True)
    assert "commontrace reembed --cancel gives it up" in finding.advice
    monkeypatch.setenv("EMBEDDER", "lexical")
    monkeypatch.setenv("EMBEDDING_DIMENSIONS", "96")
    assert (await found())["model"].level is Level.OK
    await move_to(OTHER, database_url)
    assert "reembed" not in await found()
    np.testing.assert_equal(await titles(server, text="Trace number 1"), ["Trace number 1"])
