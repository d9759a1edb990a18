"""Leaks after a revocation: stored answers, and ledgers of imports."""

from typing import Any
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from commontrace.domain.namespaces.namespace import COMMONS, Role
from commontrace.v1 import namespace_pb2, tag_pb2, trace_import_pb2, trace_pb2, vote_pb2
from commontrace.v1 import namespace_service_pb2 as namespaces_pb
from commontrace.v1 import tag_service_pb2 as tags_pb
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as votes_pb
from tests.contract.callers import refused
from tests.contract.errors.error_row import (
    CAST_VOTE,
    CREATE,
    DELETE,
    HIDE,
    MERGE_TAGS,
    RETRACT_VOTE,
    UNDELETE,
    UNHIDE,
    UPDATE,
    UPDATE_TAG,
)
from tests.contract.imports.imports import a_record, message
from tests.contract.namespaces.answers import ask
from tests.contract.namespaces.change_ways import PROMOTE
from tests.contract.namespaces.namespace_ways import SET_MEMBER, UPDATE_NAMESPACE
from tests.contract.namespaces.parties import INSIDER, OUTSIDER, WALLED, Parties
from tests.support.builders import a_contribution


def _edit(trace_id: str) -> pb.UpdateTraceRequest:
    changed = trace_pb2.Trace(id=trace_id, agent_model="a-model")
    return pb.UpdateTraceRequest(trace=changed, update_mask=FieldMask(paths=["agent_model"]))


def _writes(own: trace_pb2.Trace, others: trace_pb2.Trace) -> list[tuple[str, Message]]:
    """Every write whose answer shows something of the namespace, in an order in which all succeed."""
    described = namespace_pb2.Namespace(name=WALLED, description="A garden.")
    return [
        (CREATE, a_contribution(50, namespace=WALLED)),
        # The existing one.
        (CREATE, a_contribution(2, namespace=WALLED)),
        (UPDATE, _edit(own.id)),
        (CAST_VOTE, votes_pb.CastVoteRequest(trace_id=others.id, type=vote_pb2.VOTE_TYPE_UP)),
        (RETRACT_VOTE, votes_pb.RetractVoteRequest(trace_id=others.id)),
        (PROMOTE, pb.PromoteTraceRequest(trace_id=own.id, to_namespace=COMMONS)),
        (HIDE, pb.HideTraceRequest(trace_id=others.id, reason="a reason")),
        (UNHIDE, pb.UnhideTraceRequest(trace_id=others.id)),
        (DELETE, pb.DeleteTraceRequest(trace_id=own.id)),
        (UNDELETE, pb.UndeleteTraceRequest(trace_id=own.id)),
        (
            UPDATE_NAMESPACE,
            namespaces_pb.UpdateNamespaceRequest(namespace=described, update_mask=FieldMask(paths=["description"])),
        ),
        (
            SET_MEMBER,
            namespaces_pb.SetMemberRequest(namespace=WALLED, email=OUTSIDER, role=namespace_pb2.NAMESPACE_ROLE_READER),
        ),
    ]


async def test_stored_answers_are_not_repeated_after_a_revocation(both: Parties) -> None:
    await both.admit(role=Role.OWNER)
    # A moderator somewhere, so that hiding needs no scope that is missing afterwards.
    await both.found("another-garden")
    await both.admit(name="another-garden")
    own, others = await both.secret(1), (await both.create(2, both.root, namespace=WALLED)).created
    repeated = []
    for rpc, request in _writes(own, others):
        request.request_id = str(uuid4())  # type: ignore[attr-defined] # which every write has
        answer = await ask(both.gateway.channel, rpc, request, both.insider)
        assert answer.code.name == "OK", (rpc, answer.text)
        repeated.append((rpc, request, answer))
    for rpc, request, answer in repeated:
        assert await ask(both.gateway.channel, rpc, request, both.insider) == answer, rpc
    await both.expel()
    for rpc, request, _ in repeated:
        again = await ask(both.gateway.channel, rpc, request, both.insider)
        assert (again.info.reason, dict(again.info.metadata)) == ("NAMESPACE_NOT_FOUND", {"namespace": WALLED}), rpc
        for word in (own.id, others.id, "Trace number", OUTSIDER):
            assert not again.holds(word), (rpc, word)
    await both.admit(role=Role.OWNER)
    for rpc, request, answer in repeated:
        assert await ask(both.gateway.channel, rpc, request, both.insider) == answer, rpc


async def test_a_stored_answer_shows_no_source_that_the_caller_may_no_longer_read(both: Parties) -> None:
    secret = await both.secret(1)
    promote = pb.PromoteTraceRequest(trace_id=secret.id, to_namespace=COMMONS)
    copy = (await both.gateway.traces.PromoteTrace(promote, metadata=both.insider)).created
    requests: list[tuple[str, Any]] = [
        (UPDATE, _edit(copy.id)),
        (DELETE, pb.DeleteTraceRequest(trace_id=copy.id)),
        (UNDELETE, pb.UndeleteTraceRequest(trace_id=copy.id)),
        (CREATE, a_contribution(1)),
    ]
    for rpc, request in requests:
        request.request_id = str(uuid4())
        answer = await ask(both.gateway.channel, rpc, request, both.insider)
        assert answer.holds(secret.id), rpc
    await both.expel()
    answers = {rpc: await ask(both.gateway.channel, rpc, request, both.insider) for rpc, request in requests}
    assert {rpc: answer.info.reason for rpc, answer in answers.items()} == dict.fromkeys(answers, "NAMESPACE_NOT_FOUND")
    assert [rpc for rpc, answer in answers.items() if answer.holds(secret.id)] == []


async def test_a_purge_of_the_source_erases_answers_that_name_it(both: Parties) -> None:
    secret, request_id = await both.secret(1), str(uuid4())
    promote = pb.PromoteTraceRequest(trace_id=secret.id, to_namespace=COMMONS, request_id=request_id)
    await both.gateway.traces.PromoteTrace(promote, metadata=both.insider)
    await both.gateway.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=secret.id), metadata=both.root)
    async with refused("ANSWER_ERASED", request_id=request_id):
        await both.gateway.traces.PromoteTrace(promote, metadata=both.insider)


async def test_a_stored_answer_counts_no_traces_that_the_caller_may_no_longer_read(both: Parties) -> None:
    await both.secret(1, tags=["shared"])
    await both.create(2, both.outsider, tags=["shared", "public"])
    described = tag_pb2.Tag(name="shared", description="a tag")
    requests: list[tuple[str, Any]] = [
        (UPDATE_TAG, tags_pb.UpdateTagRequest(tag=described, update_mask=FieldMask(paths=["description"]))),
        (MERGE_TAGS, tags_pb.MergeTagsRequest(source="shared", target="merged")),
    ]
    of_public = tags_pb.UpdateTagRequest(
        tag=tag_pb2.Tag(name="public", description="a tag"),
        update_mask=FieldMask(paths=["description"]),
        request_id=str(uuid4()),
    )
    for _, request in requests:
        request.request_id = str(uuid4())
    requests.insert(0, (UPDATE_TAG, of_public))
    answers = [await ask(both.gateway.channel, rpc, request, both.insider) for rpc, request in requests]
    assert [answer.responses[0].tag.trace_count for answer in answers] == [1, 2, 2]  # type: ignore[attr-defined] # they have
    await both.expel()
    again = [await ask(both.gateway.channel, rpc, request, both.insider) for rpc, request in requests]
    assert [answer.info.reason for answer in again] == ["", "NAMESPACE_NOT_FOUND", "NAMESPACE_NOT_FOUND"]
    assert again[0] == answers[0]


async def _import(
    both: Parties, request: trace_import_pb2.ImportTracesRequest
) -> list[trace_import_pb2.ImportTracesResponse]:
    stream = both.gateway.traces.ImportTraces(iter([request]), metadata=both.insider, timeout=20)
    return [response async for response in stream]


async def test_a_ledger_of_an_import_tells_nothing_after_a_revocation(both: Parties) -> None:
    records = [a_record(1, namespace=WALLED), a_record(2), a_record(1, namespace=WALLED, title="Another")]
    request = message(records, import_id=str(uuid4()))
    [first] = await _import(both, request)
    assert [result.WhichOneof("outcome") for result in first.results] == ["created_trace_id"] * 3
    await both.expel()
    [again] = await _import(both, request)
    assert again.results[1] == first.results[1]
    for number in (0, 2):
        assert f"NAMESPACE_NOT_FOUND: there is no namespace '{WALLED}'" in again.results[number].error.message
        assert first.results[number].created_trace_id not in str(again)
    of_stream = trace_import_pb2.ImportTracesRequest(import_id=str(uuid4()), namespace=WALLED)
    async with refused("NAMESPACE_NOT_FOUND", namespace=WALLED):
        await _import(both, of_stream)


async def test_an_item_that_was_stored_gets_its_outcome_again_from_who_only_reads_now(both: Parties) -> None:
    request = message([a_record(1, namespace=WALLED)], import_id=str(uuid4()))
    [first] = await _import(both, request)
    await both.admit(INSIDER, Role.READER)
    assert await _import(both, request) == [first]
    request.items[0].sequence = 2
    [refused_now] = await _import(both, request)
    assert "NAMESPACE_FORBIDDEN" in refused_now.results[0].error.message


async def test_items_for_a_namespace_that_was_just_deleted_fail_and_the_stream_goes_on(both: Parties) -> None:
    await both.found("gone", "OPEN")
    known = namespaces_pb.GetNamespaceRequest(name="gone")
    await both.gateway.namespaces.GetNamespace(known, metadata=both.insider)
    # Without a notification.
    await both.gateway.beside.execute("DELETE FROM namespaces WHERE name = 'gone'")
    records = [a_record(1, namespace="gone"), a_record(2), a_record(3, namespace=WALLED)]
    [response] = await _import(both, message(records, import_id=str(uuid4())))
    assert [result.WhichOneof("outcome") for result in response.results] == ["error", *["created_trace_id"] * 2]
    assert "NAMESPACE_NOT_FOUND" in response.results[0].error.message
