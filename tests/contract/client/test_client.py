from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import grpc
import numpy as np
import pytest

from commontrace.client import CallFailed, Client, TraceFilter, connect, vector
from commontrace.embeddings.embedder import Embedder
from commontrace.v1 import tag_service_pb2, trace_pb2, trace_service_pb2, vote_pb2
from tests.conftest import RunningServer, administer
from tests.support.builders import large_copies_of, store_large_trace

ABSENT = "123e4567-e89b-12d3-a456-426614174000"


@pytest.fixture
async def ada(server: RunningServer) -> AsyncIterator[Client]:
    async with connect(server.address, user="ada@example.org") as client:
        yield client


@pytest.fixture
async def bob(server: RunningServer) -> AsyncIterator[Client]:
    async with connect(server.address, user="bob@example.org") as client:
        yield client


async def test_contribute_search_and_get(ada: Client, embedder: Embedder) -> None:
    stored = (
        await ada.contribute("A title", "A problem", "A cure", tags=["a b"], metadata={"language": "python"})
    ).created
    other = (await ada.contribute("Another", "Another problem", "Another cure", agent_model="m")).created
    assert await ada.get(stored.id) == stored
    assert (await ada.get(UUID(stored.id), full=False)).context == ""
    assert [hit.trace for hit in await ada.search("a problem and its cure", limit=1)] in ([stored], [other])
    assert [hit.trace for hit in await ada.search(UUID(stored.id))] == [other]
    [embedding] = await embedder.encode(["A title\n\nA problem\n\nA cure"])
    query = vector(embedding.vector.astype(np.float64), model_id=embedder.model_id)
    [hit, _] = await ada.search(query)
    assert hit.trace == stored
    assert hit.similarity == pytest.approx(1.0, abs=1e-6)
    info = await ada.service_info()
    assert info.caller.user_id == stored.contributor_id


async def test_a_search_can_be_narrowed(ada: Client) -> None:
    tagged = (await ada.contribute("A title", "A problem", "A cure", tags=["python"])).created
    await ada.contribute("Cake", "The sponge collapses", "Bake it longer")
    hits = await ada.search("a problem", filter=TraceFilter(tags_any=["Python", "absent"]), exact=True)
    assert [hit.trace.id for hit in hits] == [tagged.id]
    assert (hits.summary.exact, list(hits.summary.unknown_tags)) == (True, ["absent"])
    similarities = [hit.similarity for hit in await ada.search("a problem")]
    assert len(await ada.search("a problem", min_similarity=sum(similarities) / 2)) == 1
    assert await ada.search("a problem", min_similarity=1) == []


async def test_a_search_says_how_probable_an_answer_is(ada: Client) -> None:
    await ada.contribute("A lamp flickers", "It does so every evening", "Change the bulb")
    near = await ada.search("a lamp flickers every evening")
    assert (near.summary.verdict, near.summary.pending_count) == (trace_service_pb2.VERDICT_LIKELY, 0)
    silent = await ada.search("who won the chess championship", min_probability=0.5)
    assert silent == []
    assert silent.summary.stop_reason == trace_service_pb2.STOP_REASON_MIN_PROBABILITY
    assert silent.summary.answer_probability < 0.5
    stream = ada.search_stream("who won the chess championship", min_probability=0.5)
    assert [hit async for hit in stream] == []
    assert stream.summary.answer_probability == silent.summary.answer_probability


async def test_a_search_can_be_ranked_otherwise_and_explained(ada: Client) -> None:
    coded = (await ada.contribute("A title", "A problem: QX4137", "A cure")).created
    await ada.contribute("A title", "A problem: QX9", "A cure")
    [first, other] = await ada.search("QX4137", ranking="hybrid", explain=True)
    assert (first.trace.id, first.explanation.lexical_rank) == (coded.id, 1)
    assert not other.explanation.HasField("lexical_rank")
    assert not (await ada.search("QX4137", ranking="trust_weighted"))[0].HasField("explanation")
    word: Any = "fastest"
    with pytest.raises(ValueError, match="cosine, trust_weighted, hybrid, best"):
        await ada.search("QX4137", ranking=word)


async def test_contributions_can_be_tried_and_can_replace(ada: Client) -> None:
    texts = ("A title", "A problem", "A cure")
    assert (await ada.contribute(*texts, validate_only=True)).created.id == ""
    first = (await ada.contribute(*texts)).created
    assert (await ada.contribute(*texts)).existing.id == first.id
    assert (await ada.contribute(*texts, on_duplicate="allow")).created.id not in ("", first.id)
    with pytest.raises(CallFailed) as failure:
        await ada.contribute(*texts, on_duplicate="reject")
    assert failure.value.reason == "DUPLICATE_TRACE"
    second = (await ada.contribute("A title", "A problem", "A better cure", supersedes=UUID(first.id))).created
    assert second.supersedes_trace_id == first.id
    assert (await ada.get(first.id)).superseded_by_trace_id == second.id


async def test_an_edit_changes_what_is_given(ada: Client) -> None:
    texts = ("A title", "A problem", "A cure")
    stored = (await ada.contribute(*texts, tags=["a", "b"], agent_model="m", metadata={"n": 1})).created
    edited = (await ada.update(stored.id, tags=["c"], agent_version="2", metadata={}, etag=stored.etag)).trace
    assert (edited.title, edited.context, edited.solution, edited.agent_model) == (*texts, "m")
    assert (list(edited.tags), edited.agent_version, len(edited.metadata)) == (["c"], "2", 0)
    assert (await ada.update(stored.id, tags=[], metadata={"n": 2})).trace.metadata["n"] == 2
    with pytest.raises(CallFailed) as failure:
        await ada.update(stored.id, title="Another", etag=stored.etag)
    assert failure.value.reason == "STALE_ETAG"
    with pytest.raises(CallFailed) as failure:
        await ada.update(stored.id)
    assert failure.value.metadata == {"field": "update_mask"}
    rewritten = (await ada.update(UUID(stored.id), title="Another", context="More", solution="Better")).trace
    assert (rewritten.revision, list(rewritten.tags)) == (2, [])
    assert [(r.revision, r.title, r.context) async for r in ada.history(stored.id)] == [
        (2, "Another", ""),
        (1, "A title", ""),
    ]
    assert [r.solution async for r in ada.history(UUID(stored.id), full=True)] == ["Better", "A cure"]


async def test_a_deleted_trace_can_come_back(ada: Client, bob: Client) -> None:
    trace = (await ada.contribute("A title", "A problem", "A cure")).created
    with pytest.raises(CallFailed) as failure:
        await bob.delete(trace.id)
    assert failure.value.reason == "NOT_OWNER"
    with pytest.raises(CallFailed) as failure:
        await ada.delete(trace.id, etag="stale")
    assert failure.value.reason == "STALE_ETAG"
    assert (await ada.delete(UUID(trace.id), etag=trace.etag)).HasField("delete_time")
    assert [t.id async for t in ada.list()] == []
    assert [t.id async for t in ada.list(show_deleted=True)] == [trace.id]
    assert [t.id async for t in bob.list(show_deleted=True)] == []
    assert (await ada.undelete(UUID(trace.id))).id == trace.id
    assert [t async for t in ada.list(full=True)] == [await ada.get(trace.id)]


async def test_lists_and_many_traces_take_as_many_calls_as_they_need(
    server: RunningServer, ada: Client, database_url: str
) -> None:
    await administer(database_url, large_copies_of(await store_large_trace(server.traces), 105))
    listed = [trace async for trace in ada.list(TraceFilter(statuses=[trace_pb2.TRACE_STATUS_PENDING]), page_size=50)]
    assert len({trace.id for trace in listed}) == len(listed) == 105
    ids = [ABSENT, *(trace.id for trace in listed)]
    absent, *found = await ada.get_many(ids)
    assert absent is None
    assert [trace.id for trace in found if trace is not None and len(trace.solution) == 50_000] == ids[1:]
    [trace] = await ada.get_many([UUID(listed[0].id)], full=False)
    assert trace == listed[0]
    assert await ada.get_many([]) == []


async def test_votes(server: RunningServer, ada: Client, bob: Client) -> None:
    trace_id = UUID((await ada.contribute("A title", "A problem", "A cure")).created.id)
    assert await bob.my_vote(trace_id) is None
    cast = await bob.vote(trace_id, "down", reason="outdated", comment="Not since version 2", revision=1)
    assert (cast.vote.type, cast.vote.reason) == (vote_pb2.VOTE_TYPE_DOWN, vote_pb2.DOWN_REASON_OUTDATED)
    assert (cast.vote.comment, cast.tally.down_count) == ("Not since version 2", 1)
    assert await bob.my_vote(trace_id) == cast.vote
    with pytest.raises(CallFailed) as failure:
        await bob.vote(trace_id, "up", revision=2)
    assert failure.value.metadata["current_revision"] == "1"
    assert (await bob.vote(trace_id, "up")).tally.confirmation_count == 1
    async with AsyncExitStack() as stack:
        for number in range(60):
            other = await stack.enter_async_context(connect(server.address, user=f"user{number}@example.org"))
            await other.vote(trace_id, "up")
    assert len({vote.voter_id async for vote in ada.votes(trace_id)}) == 61
    assert (await bob.retract_vote(trace_id)).confirmation_count == 60
    with pytest.raises(CallFailed) as failure:
        await bob.my_vote(ABSENT)
    assert failure.value.reason == "TRACE_NOT_FOUND"


async def test_tags(ada: Client) -> None:
    await ada.contribute("A title", "A problem", "A cure", tags=["zeta", "zeal"])
    await ada.contribute("Another", "A problem", "A cure", tags=["zeta"])
    assert [tag.name async for tag in ada.tags(prefix="ze", page_size=1)] == ["zeal", "zeta"]
    assert [tag.name for tag in await ada.most_used_tags(1, prefix="z")] == ["zeta"]
    assert (await ada.update_tag("Zeta", description="The sixth letter", is_curated=True)).is_curated
    assert (await ada.update_tag("zeta", is_curated=False)).description == "The sixth letter"
    assert not (await ada.update_tag("zeta", description="")).description
    await ada.update_tag("zeal", is_curated=True)
    assert [tag.name async for tag in ada.tags(prefix="ze", curated_only=True)] == ["zeal"]
    assert [tag.name for tag in await ada.most_used_tags(prefix="ze", curated_only=True)] == ["zeal"]
    assert (await ada.merge_tags("zeal", "zeta")).moved_trace_count == 1
    tag = await ada.tag("ZEAL")
    assert (tag.name, tag.trace_count, list(tag.aliases)) == ("zeta", 2, ["zeal"])
    assert [(r.name, r.state) for r in await ada.resolve_tags(["Zeal", "?"])] == [
        ("zeta", tag_service_pb2.TAG_STATE_EXISTING),
        ("", tag_service_pb2.TAG_STATE_INVALID),
    ]


async def test_a_failure_says_what_was_wrong(server: RunningServer) -> None:
    async with connect(server.address) as client:
        with pytest.raises(CallFailed, match="FIELD_REQUIRED: title is required") as failure:
            await client.contribute("", "A problem", "", tags=["?"])
        failed = failure.value
        assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_REQUIRED")
        assert failed.metadata == {"field": "title"}
        assert failed.violations.keys() == {"title", "solution", "tags[0]"}
        with pytest.raises(CallFailed) as failure:
            await client.get(ABSENT)
        assert failure.value.metadata == {"trace_id": ABSENT}
        with pytest.raises(CallFailed) as failure:
            await anext(client.history("nonsense"))
        assert failure.value.reason == "MALFORMED_ID"


async def test_a_failure_of_the_transport_has_no_reason(server: RunningServer) -> None:
    async with connect(server.address, deadline=0.000_001) as client:
        with pytest.raises(CallFailed) as failure:
            await client.search("anything")
        assert (failure.value.code, failure.value.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "")


async def test_one_string_is_not_several(ada: Client) -> None:
    with pytest.raises(TypeError, match="tags must be several strings"):
        await ada.contribute("A title", "A problem", "A cure", tags="python")
    with pytest.raises(TypeError, match="tags must be several strings"):
        await ada.update(ABSENT, tags="python")
    with pytest.raises(TypeError, match="trace_ids must be several strings"):
        await ada.get_many(ABSENT)
    with pytest.raises(TypeError, match="names must be several strings"):
        await ada.resolve_tags("python")


async def test_words_of_no_meaning_are_refused_at_once(ada: Client) -> None:
    with pytest.raises(ValueError, match="SIDEWAYS"):
        await ada.vote(ABSENT, "sideways")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="BORING"):
        await ada.vote(ABSENT, "down", reason="boring")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="KEEP"):
        await ada.contribute("A title", "A problem", "A cure", on_duplicate="keep")  # type: ignore[arg-type]
