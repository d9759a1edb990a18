"""Sideways leaks: nothing about a namespace reaches others by duplicates, likeness, copies or tags."""

from typing import Any

import pytest

from commontrace.domain.namespaces.namespace import COMMONS, Role
from commontrace.domain.scopes import Scope
from commontrace.settings import INSTALLED_MODEL
from commontrace.v1 import tag_service_pb2 as tags_pb
from commontrace.v1 import trace_pb2, vector_pb2, vote_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as votes_pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.contract.callers import reason_of, refused
from tests.contract.namespaces.parties import INSIDER, WALLED, Parties
from tests.contract.namespaces.world import a_bound_key, packed
from tests.support.builders import hits_of
from tests.support.keys import Metadata

_ALMOST = "Problem number 1 appeared once more."


async def _search(both: Parties, caller: Metadata, **fields: Any) -> list[pb.SearchTracesResponse]:
    stream = both.gateway.traces.SearchTraces(pb.SearchTracesRequest(**fields), metadata=caller, timeout=20)
    return [response async for response in stream]


@pytest.mark.parametrize("caller", ["insider", "outsider"])
async def test_neither_duplicates_nor_similar_traces_are_found_across_a_wall(both: Parties, caller: str) -> None:
    await both.secret(1)
    key: Metadata = getattr(both, caller)
    same = await both.create(1, key, validate_only=True)
    assert same.WhichOneof("outcome") == "created"
    assert list(same.similar) == []
    assert list((await both.create(1, key, context=_ALMOST)).similar) == []
    # Nor from the other side.
    assert [one.trace_id for one in (await both.create(1, both.insider, context=_ALMOST, namespace=WALLED)).similar]
    public = await both.create(2, key)
    again = await both.create(2, both.insider, namespace=WALLED)
    assert public.created.id not in {again.created.id, *(one.trace_id for one in again.similar)}


async def test_others_like_a_trace_are_those_that_the_caller_may_read(both: Parties) -> None:
    secret, public = await both.secret(1), (await both.create(1, both.outsider)).created
    [response] = await _search(both, both.outsider, trace_id=public.id)
    assert hits_of([response]) == []
    assert list(response.summary.searched_namespaces) == [COMMONS]
    [response] = await _search(both, both.insider, trace_id=public.id)
    assert [hit.trace.id for hit in hits_of([response])] == [secret.id]
    assert list(response.summary.searched_namespaces) == [COMMONS, WALLED]


async def test_a_search_counts_nothing_that_the_caller_may_not_read(both: Parties) -> None:
    public = (await both.create(2, both.outsider)).created
    before = await _search(both, both.outsider, text="Problem number 1 appeared.", min_similarity=0.999)
    vector = await both.gateway.beside.fetchval("SELECT embedding::real[] FROM traces WHERE id = $1", public.id)
    query = vector_pb2.Vector(packed_f32=packed(vector), model_id=INSTALLED_MODEL)
    narrow = await _search(both, both.outsider, embedding=query, exact=True)
    await both.secret(1)
    await both.secret(3)
    await both.gateway.beside.execute(
        "INSERT INTO encoding_jobs (trace_id) SELECT id FROM traces WHERE title = 'Trace number 3'"
    )
    assert await _search(both, both.outsider, text="Problem number 1 appeared.", min_similarity=0.999) == before
    assert await _search(both, both.outsider, embedding=query, exact=True) == narrow


async def test_nothing_replaces_a_trace_across_a_wall(both: Parties) -> None:
    secret, public = await both.secret(1), (await both.create(2, both.insider)).created
    async with refused("TRACE_NOT_FOUND", trace_id=secret.id):
        await both.create(3, both.insider, supersedes_trace_id=secret.id)
    async with refused("TRACE_NOT_FOUND", trace_id=public.id):
        await both.create(3, both.insider, supersedes_trace_id=public.id, namespace=WALLED)
    successor = await both.create(3, both.insider, supersedes_trace_id=public.id)
    async with refused("ALREADY_SUPERSEDED", superseded_by_trace_id=successor.created.id):
        await both.create(4, both.insider, supersedes_trace_id=public.id)


async def _get(both: Parties, trace_id: str, caller: Metadata) -> trace_pb2.Trace:
    response: pb.GetTraceResponse = await both.gateway.traces.GetTrace(
        pb.GetTraceRequest(trace_id=trace_id), metadata=caller
    )
    return response.trace


async def _promote(both: Parties, trace_id: str, to: str, caller: Metadata, request_id: str = "") -> trace_pb2.Trace:
    request = pb.PromoteTraceRequest(trace_id=trace_id, to_namespace=to, request_id=request_id)
    response: pb.PromoteTraceResponse = await both.gateway.traces.PromoteTrace(request, metadata=caller)
    return response.created if response.HasField("created") else response.existing


async def test_the_source_of_a_copy_is_shown_to_those_who_may_read_it(both: Parties) -> None:
    secret = await both.secret(1)
    await both.admit("root@example.org", Role.OWNER)
    copy = await _promote(both, secret.id, COMMONS, both.root)
    assert copy.promoted_from_trace_id == secret.id
    shown = {}
    for name, key in (("insider", both.insider), ("outsider", both.outsider)):
        listed = await both.gateway.traces.ListTraces(pb.ListTracesRequest(), metadata=key)
        [in_list] = [trace for trace in listed.traces if trace.id == copy.id]
        [hit] = [hit for hit in hits_of(await _search(both, key, text="a problem")) if hit.trace.id == copy.id]
        batch = await both.gateway.traces.BatchGetTraces(pb.BatchGetTracesRequest(trace_ids=[copy.id]), metadata=key)
        traces = [await _get(both, copy.id, key), in_list, hit.trace, batch.items[0].trace]
        shown[name] = {trace.promoted_from_trace_id for trace in traces}
    assert shown == {"insider": {secret.id}, "outsider": {""}}
    # The contributor of the source does not vote on the copy, be it of another's.
    vote = votes_pb.CastVoteRequest(trace_id=copy.id, type=vote_pb2.VOTE_TYPE_UP)
    for key, reason in ((both.insider, "OWN_TRACE"), (both.root, "OWN_TRACE"), (both.outsider, "OK")):
        assert await reason_of(both.gateway.votes.CastVote(vote, metadata=key)) == reason
    await both.gateway.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=secret.id), metadata=both.root)
    assert (await _get(both, copy.id, both.insider)).promoted_from_trace_id == ""
    assert await both.gateway.beside.fetchval("SELECT promoted_from_id FROM traces WHERE id = $1", copy.id) is None
    assert await reason_of(both.gateway.votes.CastVote(vote, metadata=both.insider)) == "OWN_TRACE"


async def test_a_copy_of_a_copy_belongs_to_all_of_their_contributors(both: Parties) -> None:
    secret = await both.secret(1)
    await both.found("halfway", "OPEN")
    copy = await _promote(both, secret.id, "halfway", both.root)
    second = await _promote(both, copy.id, COMMONS, both.outsider)
    vote = votes_pb.CastVoteRequest(trace_id=second.id, type=vote_pb2.VOTE_TYPE_UP)
    for key in (both.insider, both.root, both.outsider):
        assert await reason_of(both.gateway.votes.CastVote(vote, metadata=key)) == "OWN_TRACE"


async def test_the_same_content_is_returned_without_a_link(both: Parties) -> None:
    secret, public = await both.secret(1), (await both.create(1, both.outsider)).created
    existing = await _promote(both, secret.id, COMMONS, both.insider)
    assert (existing.id, existing.promoted_from_trace_id) == (public.id, "")


async def test_counts_of_tags_are_of_readable_traces(both: Parties) -> None:
    await both.secret(1, tags=["shared", "hidden"])
    await both.create(2, both.outsider, tags=["shared"])

    async def tags(caller: Metadata) -> dict[str, int]:
        listed = await both.gateway.tags.ListTags(tags_pb.ListTagsRequest(), metadata=caller)
        return {tag.name: tag.trace_count for tag in listed.tags}

    assert await tags(both.outsider) == {"shared": 1}
    assert await tags(both.insider) == {"hidden": 1, "shared": 2}
    merge = tags_pb.MergeTagsRequest(source="shared", target="hidden")
    merged = await both.gateway.tags.MergeTags(merge, metadata=both.outsider)
    assert (merged.moved_trace_count, merged.tag.trace_count) == (1, 1)
    assert await tags(both.outsider) == {"hidden": 1}
    assert await tags(both.insider) == {"hidden": 2}


async def test_an_alias_tells_nothing_of_a_tag_that_only_others_have(both: Parties) -> None:
    await both.secret(1, tags=["hidden"])
    merge = tags_pb.MergeTagsRequest(source="nickname", target="hidden")
    await both.gateway.tags.MergeTags(merge, metadata=both.insider)
    names = ["nickname", "hidden", "unheard-of"]
    resolved = await both.gateway.tags.ResolveTags(tags_pb.ResolveTagsRequest(names=names), metadata=both.outsider)
    assert [(one.name, one.state, one.alias) for one in resolved.resolved] == [
        (name, tags_pb.TAG_STATE_NEW, "") for name in names
    ]
    for name in names:
        async with refused("TAG_NOT_FOUND", name=name):
            await both.gateway.tags.GetTag(tags_pb.GetTagRequest(name=name), metadata=both.outsider)
    listed = pb.ListTracesRequest(filter=TraceFilter(tags_any=names))
    response = await both.gateway.traces.ListTraces(listed, metadata=both.outsider)
    assert sorted(response.unknown_tags) == sorted(names)


async def test_who_may_not_read_promotes_nothing(both: Parties) -> None:
    trace = await both.secret(1)
    writes = await a_bound_key(both.gateway.database, INSIDER, {Scope.TRACES_WRITE})
    request = pb.PromoteTraceRequest(trace_id=trace.id, to_namespace=COMMONS)
    async with refused("SCOPE_MISSING", scope="traces:read"):
        await both.gateway.traces.PromoteTrace(request, metadata=writes)
