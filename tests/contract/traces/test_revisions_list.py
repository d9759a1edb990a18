from collections.abc import AsyncIterator
from itertools import chain
from typing import Any

import pytest

from commontrace.domain import limits
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, administer
from tests.contract.calls import call
from tests.contract.errors.error_promises import broken_promises
from tests.contract.errors.error_row import REVISIONS, Code, Row
from tests.support.builders import a_contribution

LARGE = limits.CONTEXT_CHARACTERS


async def create(server: RunningServer, database_url: str) -> trace_pb2.Trace:
    """A trace without its history: tests write their own."""
    created = (await server.traces.CreateTrace(a_contribution())).created
    await administer(database_url, "DELETE FROM trace_revisions")
    return created


async def add(url: str, trace: trace_pb2.Trace, first: int, last: int, text: str = "'text ' || n") -> None:
    """Revisions by SQL, faster than they could be encoded."""
    await administer(
        url,
        "INSERT INTO trace_revisions"  # noqa: S608 - our own values
        " (trace_id, revision, title, context_text, solution_text, changed_fields, editor_id, created_at)"
        f" SELECT '{trace.id}', n, 'title ' || n, {text}, {text}, '{{title,solution}}', '{trace.contributor_id}',"
        f" timestamptz '2026-03-01 12:00:00.000001Z' + n * interval '1 day' FROM generate_series({first}, {last}) n",
    )


async def pages(server: RunningServer, trace_id: str, **fields: Any) -> AsyncIterator[pb.ListTraceRevisionsResponse]:
    token = ""
    while True:
        request = pb.ListTraceRevisionsRequest(trace_id=trace_id, page_token=token, **fields)
        response = await server.traces.ListTraceRevisions(request)
        yield response
        assert response.next_page_token != token or not token, "the list goes in circles"
        token = response.next_page_token
        if not token:
            return


async def numbers(server: RunningServer, trace_id: str, **fields: Any) -> list[list[int]]:
    return [[revision.revision for revision in page.revisions] async for page in pages(server, trace_id, **fields)]


async def test_a_contribution_is_the_first_revision(server: RunningServer) -> None:
    created = (await server.traces.CreateTrace(a_contribution())).created
    [page] = [page async for page in pages(server, created.id, view=trace_pb2.TRACE_VIEW_FULL)]
    assert list(page.revisions) == [
        pb.TraceRevision(
            revision=1,
            title=created.title,
            context=created.context,
            solution=created.solution,
            changed_fields=["title", "context", "solution"],
            editor_id=created.contributor_id,
            create_time=created.create_time,
        )
    ]


async def test_revisions_say_who_when_and_what(server: RunningServer, database_url: str) -> None:
    trace = await create(server, database_url)
    await add(database_url, trace, 7, 7)
    [page] = [page async for page in pages(server, trace.id.upper(), view=trace_pb2.TRACE_VIEW_FULL)]
    [revision] = page.revisions
    assert revision.create_time.ToJsonString() == "2026-03-08T12:00:00.000001Z"
    revision.ClearField("create_time")
    assert revision == pb.TraceRevision(
        revision=7,
        title="title 7",
        context="text 7",
        solution="text 7",
        changed_fields=["title", "solution"],
        editor_id=trace.contributor_id,
    )
    for view in (trace_pb2.TRACE_VIEW_UNSPECIFIED, trace_pb2.TRACE_VIEW_BASIC):
        [page] = [page async for page in pages(server, trace.id, view=view)]
        assert [(one.title, one.context, one.solution) for one in page.revisions] == [("title 7", "", "")]


@pytest.mark.parametrize(
    ("page_size", "sizes"), [(1, [1] * 6), (2, [2, 2, 2]), (4, [4, 2]), (6, [6]), (0, [6]), (2**31 - 1, [6])]
)
async def test_pages_go_back_in_time(
    server: RunningServer, database_url: str, page_size: int, sizes: list[int]
) -> None:
    trace, other = await create(server, database_url), await _another(server)
    await add(database_url, trace, 1, 6)
    await add(database_url, other, 2, 9)
    listed = await numbers(server, trace.id, page_size=page_size)
    assert [len(page) for page in listed] == sizes
    assert list(chain(*listed)) == [6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize(("page_size", "given"), [(0, 50), (500, 500), (501, 500)])
async def test_a_page_has_as_many_as_asked_for_and_never_more_than_500(
    server: RunningServer, database_url: str, page_size: int, given: int
) -> None:
    trace = await create(server, database_url)
    await add(database_url, trace, 1, 501)
    first, *_ = [page async for page in pages(server, trace.id, page_size=page_size)]
    assert [revision.revision for revision in first.revisions] == list(range(501, 501 - given, -1))


async def test_an_edit_between_pages_moves_nothing(server: RunningServer, database_url: str) -> None:
    trace = await create(server, database_url)
    await add(database_url, trace, 1, 5)
    listed: list[int] = []
    async for page in pages(server, trace.id, page_size=2):
        listed += [revision.revision for revision in page.revisions]
        await add(database_url, trace, 5 + len(listed), 5 + len(listed))
    assert listed == [5, 4, 3, 2, 1]


async def test_a_page_ends_before_2_mib(server: RunningServer, database_url: str) -> None:
    trace = await create(server, database_url)
    await add(database_url, trace, 1, 12, text=f"repeat('\N{SNAKE}', {LARGE})")
    listed = [page async for page in pages(server, trace.id, view=trace_pb2.TRACE_VIEW_FULL)]
    # Four bytes a character, 50,000 characters, twice: five revisions fit.
    assert [[one.revision for one in page.revisions] for page in listed] == [
        [12, 11, 10, 9, 8],
        [7, 6, 5, 4, 3],
        [2, 1],
    ]
    assert max(page.ByteSize() for page in listed) <= limits.RESPONSE_BYTES
    assert [len(page) for page in await numbers(server, trace.id)] == [12]


async def test_a_deleted_trace_has_no_history(server: RunningServer, database_url: str) -> None:
    trace = await create(server, database_url)
    await add(database_url, trace, 1, 3)
    request = pb.ListTraceRevisionsRequest(trace_id=trace.id, page_size=1)
    token = (await server.traces.ListTraceRevisions(request)).next_page_token
    await administer(database_url, "UPDATE traces SET deleted_at = now()")
    for page_token in ("", token):
        request.page_token = page_token
        row = Row(name="deleted", rpc=REVISIONS, request=request, code=Code.NOT_FOUND, reason="TRACE_NOT_FOUND")
        assert list(broken_promises(row, await call(server.channel, REVISIONS, row.payload))) == []


async def _another(server: RunningServer) -> trace_pb2.Trace:
    return (await server.traces.CreateTrace(a_contribution(1))).created
