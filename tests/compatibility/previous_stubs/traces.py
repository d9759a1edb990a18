"""Contributing, reading, searching and editing."""

from uuid import UUID, uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from commontrace.v1 import options_pb2, trace_filter_pb2, trace_pb2, trace_service_pb2
from tests.compatibility.previous_stubs.user import User

TITLE = "ld says undefined reference to vtable for a class whose virtual destructor has no body"
CONTEXT = "A class declares `virtual ~Shape();` and nothing defines it: every user of the class fails to link."
SOLUTION = "Give the destructor a body, `virtual ~Shape() = default;`, in the header or in one source file."
ABSENT = str(uuid4())


async def check_contributions(user: User) -> trace_pb2.Trace:
    """Describes the server, then stores a trace, which a repetition and a duplicate lead back to."""
    info = await user.traces.GetServiceInfo(trace_service_pb2.GetServiceInfoRequest())
    assert info.version
    assert info.caller.email == user.email
    assert set(options_pb2.Scope.values()[1:]) <= set(info.caller.scopes), info.caller
    assert info.validation_threshold == 2, info.validation_threshold
    assert info.embedding_model.id
    assert info.embedding_model.dimensions > 0
    assert info.limits.title_characters >= 200, info.limits
    assert info.limits.request_bytes >= 1 << 20, info.limits

    metadata = Struct()
    metadata.update({"linker": "ld", "exit": 1, "flags": ["-O2", "-Wall"]})
    request = trace_service_pb2.CreateTraceRequest(
        title=TITLE,
        context=CONTEXT,
        solution=SOLUTION,
        tags=["Linking", "c++"],
        agent_model="model-1",
        agent_version="7",
        metadata=metadata,
        request_id=str(uuid4()),
    )
    answer = await user.traces.CreateTrace(request)
    trace = answer.created
    assert answer.WhichOneof("outcome") == "created"
    assert 0 < answer.tokens_read <= answer.tokens_total
    assert UUID(trace.id)
    assert (trace.title, trace.context, trace.solution) == (TITLE, CONTEXT, SOLUTION)
    assert list(trace.tags) == ["cpp", "linking"], trace.tags
    assert (trace.agent_model, trace.agent_version) == ("model-1", "7")
    assert MessageToDict(trace.metadata) == {"linker": "ld", "exit": 1.0, "flags": ["-O2", "-Wall"]}
    assert (trace.revision, trace.status, trace.is_seed) == (1, trace_pb2.TRACE_STATUS_PENDING, False)
    assert trace.embedding_state == trace_pb2.EMBEDDING_STATE_READY
    assert trace.etag
    assert trace.create_time.ToNanoseconds() > 0

    assert (await user.traces.CreateTrace(request)).created == trace
    request.request_id = str(uuid4())
    duplicate = await user.traces.CreateTrace(request)
    assert (duplicate.WhichOneof("outcome"), duplicate.existing.id) == ("existing", trace.id)
    return trace


async def check_reads(user: User, trace: trace_pb2.Trace) -> None:
    """Reads a trace alone, beside one that is not there, and in a list."""
    got = await user.traces.GetTrace(trace_service_pb2.GetTraceRequest(trace_id=trace.id))
    assert got.trace == trace
    batch = await user.traces.BatchGetTraces(
        trace_service_pb2.BatchGetTracesRequest(trace_ids=[ABSENT, trace.id], view=trace_pb2.TRACE_VIEW_BASIC)
    )
    missing, found = batch.items
    assert (missing.trace_id, missing.error.code) == (ABSENT, 5), missing
    assert (found.trace.title, found.trace.context) == (TITLE, "")

    whose = trace_filter_pb2.TraceFilter(contributor_ids=[trace.contributor_id], tags_all=["C++"], tags_none=["rust"])
    page = await user.traces.ListTraces(trace_service_pb2.ListTracesRequest(filter=whose))
    assert ([listed.id for listed in page.traces], page.next_page_token) == ([trace.id], "")
    first = await user.traces.ListTraces(trace_service_pb2.ListTracesRequest(page_size=1))
    second = await user.traces.ListTraces(
        trace_service_pb2.ListTracesRequest(page_size=1, page_token=first.next_page_token)
    )
    assert [listed.id for listed in first.traces] == [trace.id]
    assert len(second.traces) == 1
    assert second.traces[0].create_time.ToNanoseconds() <= trace.create_time.ToNanoseconds()


async def check_searches(user: User, trace: trace_pb2.Trace) -> None:
    """Streams hits in two orders, and goes on behind the first one."""
    request = trace_service_pb2.SearchTracesRequest(text="undefined reference to vtable", limit=3, batch_size=1)
    messages = [message async for message in user.traces.SearchTraces(request)]
    hits, summary = [hit for message in messages for hit in message.hits], messages[-1].summary
    similarities = [hit.similarity for hit in hits]
    assert (len(hits), hits[0].trace.id, hits[0].trace.solution) == (3, trace.id, SOLUTION)
    assert 1 >= similarities[0] > 0.4
    assert similarities == sorted(similarities, reverse=True)
    assert (summary.stop_reason, summary.hit_count) == (trace_service_pb2.STOP_REASON_LIMIT, 3), summary
    assert summary.embedding_model_id

    request.resume_token = messages[0].resume_token
    behind = [hit.trace.id async for message in user.traces.SearchTraces(request) for hit in message.hits]
    assert behind[:2] == [hit.trace.id for hit in hits[1:]]

    mixed = trace_service_pb2.SearchTracesRequest(
        text="undefined reference to vtable", limit=1, ranking=trace_service_pb2.RANKING_HYBRID, explain=True
    )
    [hit] = [hit async for message in user.traces.SearchTraces(mixed) for hit in message.hits]
    assert (hit.trace.id, hit.explanation.vector_rank, hit.explanation.lexical_rank) == (trace.id, 1, 1), (
        hit.explanation
    )


async def check_edits(user: User, trace: trace_pb2.Trace) -> None:
    """Changes a text by its mask, which makes a revision."""
    answer = await user.traces.UpdateTrace(
        trace_service_pb2.UpdateTraceRequest(
            trace=trace_pb2.Trace(id=trace.id, solution=f"{SOLUTION} Or make it pure."),
            update_mask=FieldMask(paths=["solution"]),
            etag=trace.etag,
            request_id=str(uuid4()),
        )
    )
    assert (answer.trace.revision, answer.trace.title) == (2, TITLE)
    assert answer.trace.solution.endswith(" Or make it pure.")
    assert answer.trace.etag != trace.etag
    assert (answer.trace.confirmation_count, answer.trace.status) == (0, trace_pb2.TRACE_STATUS_PENDING)
    revisions = await user.traces.ListTraceRevisions(
        trace_service_pb2.ListTraceRevisionsRequest(trace_id=trace.id, view=trace_pb2.TRACE_VIEW_FULL)
    )
    assert [revision.revision for revision in revisions.revisions] == [2, 1]
    assert list(revisions.revisions[0].changed_fields) == ["solution"]
    assert revisions.revisions[1].solution == SOLUTION
    assert {revision.editor_id for revision in revisions.revisions} == {trace.contributor_id}
