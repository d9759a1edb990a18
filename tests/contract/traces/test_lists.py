from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import chain
from random import Random
from typing import Any
from uuid import UUID

import pytest

from commontrace.domain import limits
from commontrace.storage.database import Database
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.conftest import RunningServer, ServerFactory, administer
from tests.contract.callers import ADA, BOB, EVE
from tests.contract.traces.listed_traces import START, expected, store_at, store_varied
from tests.support.builders import a_contribution, copies_of

FULL = trace_pb2.TRACE_VIEW_FULL
# The longest text a trace may have, four bytes a character.
LARGE = "\N{SNAKE}" * limits.CONTEXT_CHARACTERS


async def pages(traces: TraceServiceStub, **fields: Any) -> AsyncIterator[pb.ListTracesResponse]:
    """Every page of a list."""
    token = ""
    while True:
        response = await traces.ListTraces(pb.ListTracesRequest(page_token=token, **fields), metadata=BOB)
        yield response
        assert response.next_page_token != token or not token, "the list goes in circles"
        token = response.next_page_token
        if not token:
            return


async def ids(traces: TraceServiceStub, **fields: Any) -> list[list[str]]:
    return [[trace.id for trace in page.traces] async for page in pages(traces, **fields)]


def minutes(*offsets: int) -> list[datetime]:
    return [START + timedelta(minutes=offset) for offset in offsets]


async def store_large(server: RunningServer, database_url: str, count: int) -> None:
    created = (await server.traces.CreateTrace(a_contribution(context=LARGE, solution=LARGE))).created
    await administer(database_url, copies_of(created.id, count))


async def test_an_empty_server_lists_nothing(server: RunningServer) -> None:
    assert await ids(server.traces) == [[]]
    assert await ids(server.traces, show_deleted=True) == [[]]


async def test_newest_first_equals_by_id(server: RunningServer) -> None:
    stored = await store_at(server.database, minutes(3, 1, 2, 1, 3, 1))
    [listed] = await ids(server.traces)
    assert listed[:2] == sorted([str(stored[0]), str(stored[4])], reverse=True)
    assert listed[2:3] == [str(stored[2])]
    assert listed[3:] == sorted([str(stored[1]), str(stored[3]), str(stored[5])], reverse=True)


async def test_a_listed_trace_is_the_trace_without_its_texts_unless_asked_for(server: RunningServer) -> None:
    created = (await server.traces.CreateTrace(a_contribution(tags=["b", "a"], agent_model="m"))).created
    [full] = (await server.traces.ListTraces(pb.ListTracesRequest(view=FULL))).traces
    assert full == created
    assert full.context
    for view in (trace_pb2.TRACE_VIEW_UNSPECIFIED, trace_pb2.TRACE_VIEW_BASIC):
        [basic] = (await server.traces.ListTraces(pb.ListTracesRequest(view=view))).traces
        created.ClearField("context")
        created.ClearField("solution")
        assert basic == created


@pytest.mark.parametrize(("page_size", "given"), [(0, 50), (1, 1), (500, 500), (501, 500), (2**31 - 1, 500)])
async def test_a_page_has_as_many_as_asked_for_and_never_more_than_500(
    server: RunningServer, database_url: str, page_size: int, given: int
) -> None:
    [trace_id] = await store_at(server.database, minutes(0))
    await administer(database_url, copies_of(str(trace_id), 501))
    response = await server.traces.ListTraces(pb.ListTracesRequest(page_size=page_size))
    assert len(response.traces) == given
    assert response.next_page_token


@pytest.mark.parametrize(("page_size", "sizes"), [(1, [1] * 6), (2, [2, 2, 2]), (4, [4, 2]), (6, [6]), (7, [6])])
async def test_no_token_leads_to_an_empty_page(server: RunningServer, page_size: int, sizes: list[int]) -> None:
    await store_at(server.database, minutes(1, 1, 1, 2, 3, 3))
    listed = await ids(server.traces, page_size=page_size)
    assert [len(page) for page in listed] == sizes


@pytest.mark.parametrize("page_size", [1, 2, 7, 16, 17, 60])
async def test_the_pages_are_the_list_cut_up(server: RunningServer, page_size: int) -> None:
    stored = await store_varied(server.database, 60, Random(page_size))  # noqa: S311 - not a secret
    for asked in (TraceFilter(), TraceFilter(tags_none=["red"], include_superseded=True)):
        wanted = expected(stored, asked)
        assert len(wanted) > 20
        assert list(chain(*await ids(server.traces, filter=asked, page_size=page_size))) == wanted
        own = expected(stored, asked, owner="bob@example.org")
        owned = await ids(server.traces, filter=asked, page_size=page_size, show_deleted=True)
        assert list(chain(*owned)) == own


async def _disturb(database: Database, present: list[UUID], random: Random) -> None:
    """Traces come, at any time in the past, and go."""
    present += await store_at(database, minutes(*(random.randint(0, 5) for _ in range(random.randint(0, 3)))))
    async with database.unit_of_work() as work:
        for _ in range(random.randint(0, 3)):
            await work.trace_changes.mark_deleted(present.pop(random.randrange(len(present))))


@pytest.mark.parametrize("seed", range(6))
async def test_while_traces_come_and_go_none_is_listed_twice_and_none_missed(server: RunningServer, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - not a secret
    at_first = await store_at(server.database, minutes(*(random.randint(0, 5) for _ in range(40))))
    present = list(at_first)
    listed: list[trace_pb2.Trace] = []
    async for page in pages(server.traces, page_size=random.choice([1, 3, 7])):
        listed += page.traces
        await _disturb(server.database, present, random)
    order = [(trace.create_time.ToNanoseconds(), UUID(trace.id)) for trace in listed]
    assert order == sorted(set(order), reverse=True)
    throughout = set(at_first) & set(present)
    assert throughout
    assert throughout <= {UUID(trace.id) for trace in listed}
    # Something did come and go.
    assert set(present) - set(at_first)
    assert set(at_first) - set(present)


async def test_another_server_of_the_same_database_takes_the_token(
    server: RunningServer, start_server: ServerFactory
) -> None:
    await store_at(server.database, minutes(1, 1, 1, 2, 3))
    [whole] = await ids(server.traces)
    first = await server.traces.ListTraces(pb.ListTracesRequest(page_size=2))
    async with start_server() as other:
        rest = await other.traces.ListTraces(pb.ListTracesRequest(page_token=first.next_page_token))
    assert [trace.id for trace in (*first.traces, *rest.traces)] == whole
    assert rest.next_page_token == ""


async def test_with_show_deleted_one_lists_ones_own_only_deleted_ones_too(server: RunningServer) -> None:
    mine = await store_at(server.database, minutes(1, 2, 3), "bob@example.org")
    others = await store_at(server.database, minutes(1, 2, 3), "ada@example.org")
    async with server.database.unit_of_work() as work:
        for trace_id in (mine[1], others[1]):
            await work.trace_changes.mark_deleted(trace_id)
    lists: dict[str, list[trace_pb2.Trace]] = {}
    for name, caller in {"bob": BOB, "ada": ADA, "stranger": EVE}.items():
        response = await server.traces.ListTraces(pb.ListTracesRequest(show_deleted=True, view=FULL), metadata=caller)
        lists[name] = list(response.traces)
    assert [trace.id for trace in lists["bob"]] == [str(trace_id) for trace_id in reversed(mine)]
    assert [trace.HasField("delete_time") for trace in lists["bob"]] == [False, True, False]
    assert [trace.id for trace in lists["ada"]] == [str(trace_id) for trace_id in reversed(others)]
    assert lists["stranger"] == []
    [live] = await ids(server.traces)
    assert set(live) == {str(trace_id) for trace_id in {*mine, *others} - {mine[1], others[1]}}


async def test_a_page_ends_before_2_mib(server: RunningServer, database_url: str) -> None:
    await store_large(server, database_url, 12)
    listed = [page async for page in pages(server.traces, view=FULL)]
    # Four bytes a character, 50,000 characters, twice: five traces fit.
    assert [len(page.traces) for page in listed] == [5, 5, 2]
    assert max(page.ByteSize() for page in listed) <= limits.RESPONSE_BYTES
    assert len({trace.id for page in listed for trace in page.traces}) == 12
    assert [len(page) for page in await ids(server.traces)] == [12]
