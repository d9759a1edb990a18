"""Leaks by tokens: positions that one caller was given, in the hands of another."""

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.domain.namespaces.namespace import COMMONS, Role
from commontrace.v1 import namespace_service_pb2 as namespaces_pb
from commontrace.v1 import trace_event_pb2, trace_export_pb2, trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.contract.callers import refused
from tests.contract.namespaces.parties import OUTSIDER, WALLED, Parties
from tests.support.builders import a_contribution, hits_of
from tests.support.keys import Metadata


async def _search(both: Parties, caller: Metadata, **fields: Any) -> list[pb.SearchTracesResponse]:
    stream = both.gateway.traces.SearchTraces(pb.SearchTracesRequest(**fields), metadata=caller, timeout=20)
    return [response async for response in stream]


async def test_tokens_of_others_show_what_the_caller_may_read(both: Parties) -> None:
    for number in range(6):
        await both.secret(number)
        await both.create(number + 10, both.outsider)
    listing, exporting = pb.ListTracesRequest(page_size=3), trace_export_pb2.ExportTracesRequest(batch_size=3)
    page = await both.gateway.traces.ListTraces(listing, metadata=both.insider)
    listing.page_token = page.next_page_token
    rest = await both.gateway.traces.ListTraces(listing, metadata=both.outsider)
    assert {trace.namespace for trace in rest.traces} == {COMMONS}
    async for response in both.gateway.traces.ExportTraces(exporting, metadata=both.insider):
        exporting.cursor = response.cursor
        break
    records = [response async for response in both.gateway.traces.ExportTraces(exporting, metadata=both.outsider)]
    assert {record.namespace for response in records for record in response.traces} == {COMMONS}
    first = await _search(both, both.insider, text="a problem", limit=3)
    more = await _search(both, both.outsider, text="a problem", limit=50, resume_token=first[-1].resume_token)
    assert {hit.trace.namespace for hit in hits_of(more)} <= {COMMONS}


async def test_pages_of_a_namespace_are_no_others_to_turn(both: Parties) -> None:
    secret = await both.secret(1)
    for number in range(3):
        await both.gateway.traces.UpdateTrace(
            pb.UpdateTraceRequest(
                trace=trace_pb2.Trace(id=secret.id, title=f"Title {number}"), update_mask=FieldMask(paths=["title"])
            ),
            metadata=both.insider,
        )
    revisions = pb.ListTraceRevisionsRequest(trace_id=secret.id, page_size=1)
    revisions.page_token = (
        await both.gateway.traces.ListTraceRevisions(revisions, metadata=both.insider)
    ).next_page_token
    async with refused("TRACE_NOT_FOUND", trace_id=secret.id):
        await both.gateway.traces.ListTraceRevisions(revisions, metadata=both.outsider)
    await both.admit(OUTSIDER, Role.READER)
    members = namespaces_pb.ListMembersRequest(namespace=WALLED, page_size=1)
    members.page_token = (await both.gateway.namespaces.ListMembers(members, metadata=both.root)).next_page_token
    async with refused("NAMESPACE_FORBIDDEN", namespace=WALLED, role="READER", needed_role="OWNER"):
        await both.gateway.namespaces.ListMembers(members, metadata=both.outsider)
    await both.expel(OUTSIDER)
    async with refused("NAMESPACE_NOT_FOUND", namespace=WALLED):
        await both.gateway.namespaces.ListMembers(members, metadata=both.outsider)
    await both.found("another-garden", "OPEN")
    listed = namespaces_pb.ListNamespacesRequest(page_size=1)
    listed.page_token = (await both.gateway.namespaces.ListNamespaces(listed, metadata=both.root)).next_page_token
    listed.page_size = 50
    rest = await both.gateway.namespaces.ListNamespaces(listed, metadata=both.outsider)
    assert [namespace.name for namespace in rest.namespaces] == [COMMONS]


async def test_a_watch_from_anothers_token_has_the_events_that_the_caller_may_read(both: Parties) -> None:
    watch = both.gateway.traces.WatchTraces(trace_event_pb2.WatchTracesRequest(), metadata=both.insider, timeout=30)
    token = (await watch.read()).resume_token
    secret = await both.secret(1)
    await both.gateway.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=secret.id), metadata=both.root)
    public = (await both.gateway.traces.CreateTrace(a_contribution(2), metadata=both.outsider)).created
    resumed = trace_event_pb2.WatchTracesRequest(resume_token=token)
    for key, due in ((both.insider, [secret.id, secret.id, public.id]), (both.outsider, [public.id])):
        events = list[Any]()
        stream = both.gateway.traces.WatchTraces(resumed, metadata=key, timeout=30)
        while not events or events[-1].trace_id != public.id:
            events += (await stream.read()).events
        stream.cancel()
        assert [event.trace_id for event in events] == due
        assert {event.namespace for event in events} <= {COMMONS, WALLED if len(due) > 1 else COMMONS}


async def test_a_token_of_a_watch_goes_on_with_other_namespaces(both: Parties) -> None:
    def watch(*names: str, token: str = "") -> Any:
        request = trace_event_pb2.WatchTracesRequest(resume_token=token, filter=TraceFilter(namespaces=names))
        return both.gateway.traces.WatchTraces(request, metadata=both.insider, timeout=30)

    token = (await watch(WALLED).read()).resume_token
    created = [await both.secret(1), (await both.create(2, both.insider)).created]
    for names, due in (((COMMONS,), created[1:]), ((WALLED,), created[:1]), ((), created)):
        stream, events = watch(*names, token=token), list[Any]()
        while len(events) < len(due):
            events += (await stream.read()).events
        stream.cancel()
        assert [event.trace_id for event in events] == [trace.id for trace in due]
