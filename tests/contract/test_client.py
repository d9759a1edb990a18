from uuid import UUID

import grpc
import numpy as np
import pytest

from commontrace.client import CallFailed, connect, vector
from commontrace.embeddings.embedder import Embedder
from tests.conftest import RunningServer


async def test_contribute_search_and_get(server: RunningServer, embedder: Embedder) -> None:
    async with connect(server.address, user="ada@example.org") as client:
        stored = (
            await client.contribute("A title", "A problem", "A cure", tags=["a b"], metadata={"language": "python"})
        ).created
        other = (await client.contribute("Another", "Another problem", "Another cure", agent_model="m")).created
        assert await client.get(stored.id) == stored
        assert (await client.get(UUID(stored.id), full=False)).context == ""
        assert [hit.trace for hit in await client.search("a problem and its cure", limit=1)] in ([stored], [other])
        assert [hit.trace for hit in await client.search(UUID(stored.id))] == [other]
        [embedding] = await embedder.encode(["A title\n\nA problem\n\nA cure"])
        query = vector(embedding.vector.astype(np.float64), model_id=embedder.model_id)
        [hit, _] = await client.search(query)
        assert hit.trace == stored
        assert hit.similarity == pytest.approx(1.0, abs=1e-6)
        info = await client.service_info()
        assert info.caller.user_id == stored.contributor_id


async def test_a_failure_says_what_was_wrong(server: RunningServer) -> None:
    async with connect(server.address) as client:
        with pytest.raises(CallFailed, match="FIELD_REQUIRED: title is required") as failure:
            await client.contribute("", "A problem", "", tags=["?"])
        failed = failure.value
        assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_REQUIRED")
        assert failed.metadata == {"field": "title"}
        assert failed.violations.keys() == {"title", "solution", "tags[0]"}
        with pytest.raises(CallFailed) as failure:
            await client.get("123e4567-e89b-12d3-a456-426614174000")
        assert failure.value.metadata == {"trace_id": "123e4567-e89b-12d3-a456-426614174000"}


async def test_a_failure_of_the_transport_has_no_reason(server: RunningServer) -> None:
    async with connect(server.address, deadline=0.000_001) as client:
        with pytest.raises(CallFailed) as failure:
            await client.search("anything")
        assert (failure.value.code, failure.value.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "")


async def test_one_string_is_not_many_tags(server: RunningServer) -> None:
    async with connect(server.address) as client:
        with pytest.raises(TypeError, match="several strings"):
            await client.contribute("A title", "A problem", "A cure", tags="python")
