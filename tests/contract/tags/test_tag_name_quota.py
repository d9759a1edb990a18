"""Daily quota of new tag names a user."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from google.rpc import error_details_pb2

from commontrace.client import Client, ResourceExhausted, connect
from commontrace.core.cleanup import delete_expired_quotas
from commontrace.storage.database import Database
from commontrace.v1 import error_reason_pb2, trace_record_pb2
from tests.conftest import RunningServer, ServerFactory, administer, query, server_settings
from tests.contract.calls import call
from tests.contract.errors.error_promises import broken_promises, details
from tests.contract.errors.quota_error_rows import tag_name_rows

_LIMIT = 20
SPENDER, OTHER = "spender@example.org", "other@example.org"
_IS_LATE = "SELECT now() > date_trunc('day', now(), 'UTC') + interval '1 day' - interval '1 minute'"
_NAMES = "SELECT name FROM tags UNION SELECT name FROM tag_aliases"
_USED = "SELECT used FROM quota_windows WHERE kind = 'tag_names' AND email = 'spender@example.org'"


@pytest.fixture
async def rationed(start_server: ServerFactory, database_url: str) -> AsyncIterator[RunningServer]:
    # What follows takes seconds, and must not see the day turn.
    while (await query(database_url, _IS_LATE))[0][0]:  # noqa: ASYNC110 - it asks Postgres
        await asyncio.sleep(1)
    async with start_server(settings=server_settings(quota_tag_names_per_day=_LIMIT)) as running:
        yield running


async def contribute(client: Client, title: str, *tags: str) -> str:
    return (await client.contribute(title, "context", "solution", tags=tags)).created.id


async def use_up(client: Client) -> str:
    return await contribute(client, "All of them", *(f"name-{number}" for number in range(_LIMIT)))


async def test_who_has_used_up_the_names_is_refused_others_and_names_that_exist_are_not(
    rationed: RunningServer, database_url: str
) -> None:
    async with connect(rationed.address, user=SPENDER) as client, connect(rationed.address, user=OTHER) as other:
        await contribute(other, "Of others", "python")
        trace_id = await use_up(client)
        before = await query(database_url, _NAMES)
        for row in tag_name_rows(trace_id):
            error = await call(rationed.channel, row.rpc, row.payload, row.metadata)
            assert list(broken_promises(row, error)) == [], row.name
            assert error is not None
            [failure] = details(error, error_details_pb2.QuotaFailure)
            [violation] = failure.violations
            assert (violation.quota_id, violation.quota_value) == ("tag_names-per-day", _LIMIT)
        assert sorted(await query(database_url, _NAMES)) == sorted(before)
        assert await query(database_url, _USED) == [(_LIMIT,)]
        # Nothing of a refused write is stored, and everything else goes on.
        await contribute(client, "Known names", "python", "name-1")
        await client.update(trace_id, tags=["python"])
        await client.merge_tags("name-1", "name-2")
        await contribute(other, "Of others again", "unheard-of")
        await contribute(client, "It is known by now", "unheard-of")


async def test_what_fails_costs_nothing(rationed: RunningServer, database_url: str) -> None:
    async with connect(rationed.address, user=SPENDER) as client:
        await client.contribute("Tried", "context", "solution", tags=["one", "two"], validate_only=True)
        assert await query(database_url, _USED) == []
        await contribute(client, "Stored", "one")
        await contribute(client, "Stored", "three")  # A duplicate, whose tags are not looked at.
        assert await query(database_url, _USED) == [(1,)]
        await client.merge_tags("alias", "one")
        await client.merge_tags("alias", "one")
        assert await query(database_url, _USED) == [(2,)]


async def test_of_an_import_the_items_too_many_are_refused(rationed: RunningServer, database_url: str) -> None:
    def record(number: int, *tags: str) -> trace_record_pb2.TraceRecord:
        return trace_record_pb2.TraceRecord(title=f"Item {number}", context="c", solution="s", tags=tags)

    records = [record(1, *(f"a-{number}" for number in range(15)))]
    records += [record(2, *(f"b-{number}" for number in range(6))), record(3, *(f"b-{number}" for number in range(5)))]
    records += [record(4, "c"), record(5, "a-1", "b-4"), record(6), record(1, "d")]
    import_id = "123e4567-e89b-12d3-a456-426614174001"
    async with connect(rationed.address, user=SPENDER) as client:
        results = [result async for result in client.import_traces(records, import_id=import_id)]
        outcomes = [result.WhichOneof("outcome") for result in results]
        created, refused = "created_trace_id", "error"
        assert outcomes == [created, refused, created, refused, created, created, "existing_trace_id"]
        assert results[1].error.reason == error_reason_pb2.ERROR_REASON_QUOTA_EXCEEDED
        assert "new tag names of this day" in results[1].error.message
        assert await query(database_url, _USED) == [(_LIMIT,)]
        # The next day, what was refused can be sent again.
        await administer(database_url, "UPDATE quota_windows SET started_at = started_at - interval '1 day'")
        again = [result async for result in client.import_traces(records, import_id=import_id)]
        assert [result.WhichOneof("outcome") for result in again] == [created] * 6 + ["existing_trace_id"]
        assert await query(database_url, _USED) == [(2,)]


async def test_a_limit_that_was_lowered_refuses_new_names_and_nothing_else(
    rationed: RunningServer, database_url: str
) -> None:
    records = [
        trace_record_pb2.TraceRecord(title=f"With {tags}", context="c", solution="s", tags=tags)
        for tags in ([], ["name-1"], ["another"])
    ]
    async with connect(rationed.address, user=SPENDER) as client:
        await use_up(client)
        # As many as fit into the limit of before.
        await administer(database_url, "UPDATE quota_windows SET used = used + 1")
        await contribute(client, "With a name that exists", "name-1")
        results = [result async for result in client.import_traces(records)]
    assert [result.WhichOneof("outcome") for result in results] == ["created_trace_id", "created_trace_id", "error"]


async def test_two_servers_and_sixteen_callers_of_one_user_bring_the_quota_and_no_more(
    rationed: RunningServer, start_server: ServerFactory, database_url: str
) -> None:
    counted: Counter[str] = Counter()

    async def bring(client: Client, caller: int) -> None:
        for number in range(5):
            try:
                if caller % 2:
                    await contribute(client, f"{caller} {number}", f"n-{caller}-{number}")
                    counted["created"] += 1
                else:
                    record = trace_record_pb2.TraceRecord(
                        title=f"{caller} {number}", context="c", solution="s", tags=[f"n-{caller}-{number}"]
                    )
                    [result] = [result async for result in client.import_traces([record])]
                    counted["created" if result.created_trace_id else "refused"] += 1
            except ResourceExhausted as refusal:
                assert refusal.reason == "QUOTA_EXCEEDED"  # noqa: PT017 - which one it is, decides
                counted["refused"] += 1

    async with (
        start_server(settings=server_settings(quota_tag_names_per_day=_LIMIT)) as second,
        connect(rationed.address, user=SPENDER) as one,
        connect(second.address, user=SPENDER) as another,
    ):
        await asyncio.gather(*(bring((one, another)[caller // 2 % 2], caller) for caller in range(16)))
    assert counted == {"created": _LIMIT, "refused": 80 - _LIMIT}
    assert len(await query(database_url, "SELECT name FROM tags WHERE name LIKE 'n-%'")) == _LIMIT
    assert await query(database_url, _USED) == [(_LIMIT,)]


async def test_a_day_is_not_forgotten_before_it_is_over(
    rationed: RunningServer, database: Database, database_url: str
) -> None:
    async with connect(rationed.address, user=SPENDER) as client:
        await use_up(client)
        assert await delete_expired_quotas(database) == 0
        # A day of a clock that was ahead, and the next one.
        for other_day in ("started_at + interval '1 day'", "started_at - interval '1 day'"):
            await administer(database_url, f"UPDATE quota_windows SET started_at = {other_day}")  # noqa: S608 - one of two
            title = f"At {other_day}"
            await contribute(client, title, "forward" if "+" in title else "back")
            assert await query(database_url, _USED) == [(1,)]
