import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from commontrace.domain import limits
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer
from tests.support.builders import a_contribution, hits_of, search


async def test_what_is_stored_is_what_was_sent(server: RunningServer) -> None:
    request = a_contribution(
        title="Ünïcödé, emoji \N{CAT FACE} and e\N{COMBINING ACUTE ACCENT}",
        context="tabs\tand\r\nline ends\n\n```python\nprint('x')\n```",
        solution="  surrounding space stays  ",
        tags=["  Python  ", "FASTAPI", "python", "React / Native"],
        agent_model="model",
        agent_version="1.2",
    )
    request.metadata.update({"n": 1, "f": 1.5, "s": "x", "b": True, "z": None, "l": [1, {"a": []}], "o": {}})
    before = datetime.now(UTC)
    response = await server.traces.CreateTrace(request)
    created = response.created
    for field in ("title", "context", "solution", "agent_model", "agent_version", "metadata"):
        assert getattr(created, field) == getattr(request, field)
    assert list(created.tags) == ["fastapi", "python", "react-native"]
    assert created.status == trace_pb2.TRACE_STATUS_PENDING
    assert (created.trust_score, created.confirmation_count, created.revision, created.is_seed) == (0, 0, 1, False)
    assert before - timedelta(seconds=5) < created.create_time.ToDatetime(UTC) < datetime.now(UTC)
    assert created.update_time == created.create_time
    assert 0 < response.tokens_read == response.tokens_total
    fetched = await server.traces.GetTrace(pb.GetTraceRequest(trace_id=created.id))
    assert fetched.trace == created


async def test_get_in_the_basic_view_leaves_out_the_long_texts(server: RunningServer) -> None:
    created = (await server.traces.CreateTrace(a_contribution())).created
    request = pb.GetTraceRequest(trace_id=created.id.upper(), view=trace_pb2.TRACE_VIEW_BASIC)
    fetched = (await server.traces.GetTrace(request)).trace
    created.ClearField("context")
    created.ClearField("solution")
    assert fetched == created


async def test_the_largest_trace_fits(server: RunningServer) -> None:
    wide = "\N{CAT FACE}"
    request = a_contribution(
        title=wide * limits.TITLE_CHARACTERS,
        context=wide * limits.CONTEXT_CHARACTERS,
        solution=wide * limits.SOLUTION_CHARACTERS,
        tags=[f"{number:0{limits.TAG_CHARACTERS}}" for number in range(limits.TAGS)],
        agent_model=wide * limits.AGENT_MODEL_CHARACTERS,
        agent_version=wide * limits.AGENT_VERSION_CHARACTERS,
    )
    request.metadata.update({"k": "v" * (limits.METADATA_BYTES - len('{"k":""}'))})
    created = (await server.traces.CreateTrace(request)).created
    assert created.metadata == request.metadata
    assert (await server.traces.GetTrace(pb.GetTraceRequest(trace_id=created.id))).trace == created


async def test_tells_how_much_of_a_long_text_the_model_read(server: RunningServer) -> None:
    response = await server.traces.CreateTrace(a_contribution(context="word " * 1000))
    assert response.tokens_read == 508
    assert response.tokens_total > 1000


async def test_a_user_is_made_by_the_first_write_and_kept(server: RunningServer) -> None:
    async def contributor(number: int, *emails: str) -> str:
        metadata = tuple(("x-commontrace-user", email) for email in emails)
        created = await server.traces.CreateTrace(a_contribution(number), metadata=metadata)
        return created.created.contributor_id

    ada, ada_again, bob, nobody = await asyncio.gather(
        contributor(1, "ada@example.org"),
        contributor(2, "ADA@example.org"),
        contributor(3, "bob@example.org"),
        contributor(4),
    )
    assert ada == ada_again
    assert len({ada, bob, nobody}) == 3


async def test_many_first_uses_of_the_same_tags_at_once(server: RunningServer) -> None:
    tags = [f"tag-{number}" for number in range(10)]
    spellings = [tags, tags[::-1], [tag.upper() for tag in tags]]
    created = await asyncio.gather(
        *(server.traces.CreateTrace(a_contribution(number, tags=spellings[number % 3])) for number in range(30))
    )
    assert all(list(response.created.tags) == tags for response in created)


async def test_searchable_when_the_call_returns(server: RunningServer) -> None:
    async def contribute_and_find(number: int) -> bool:
        created = (await server.traces.CreateTrace(a_contribution(number, title=f"Unique zebra {number}"))).created
        hits = hits_of(await search(server.traces, text=f"Unique zebra {number}", limit=40))
        return created.id in {hit.trace.id for hit in hits}

    assert all(await asyncio.gather(*(contribute_and_find(number) for number in range(20))))


async def test_a_cancelled_call_leaves_a_whole_trace_or_none(server: RunningServer) -> None:
    calls = [server.traces.CreateTrace(a_contribution(number, tags=["a", "b"])) for number in range(40)]
    for position, call in enumerate(calls):
        await asyncio.sleep(0.003)
        if position % 2:
            call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    acknowledged = {outcome.created.id for outcome in outcomes if isinstance(outcome, pb.CreateTraceResponse)}
    stored = {hit.trace.id: list(hit.trace.tags) for hit in hits_of(await search(server.traces, text="x", limit=100))}
    assert acknowledged <= stored.keys()
    assert all(tags == ["a", "b"] for tags in stored.values())


async def test_a_deadline_is_kept(server: RunningServer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await server.traces.CreateTrace(a_contribution(context="word " * 5000), timeout=0.001)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
