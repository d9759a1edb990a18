"""Quotas as callers meet them."""

from collections.abc import AsyncIterator

import pytest
from google.rpc import error_details_pb2
from structlog.testing import capture_logs

from commontrace.client import ResourceExhausted, connect
from commontrace.v1 import trace_import_pb2, trace_record_pb2
from tests.conftest import RunningServer, ServerFactory, query, server_settings
from tests.contract.calls import call
from tests.contract.errors.error_promises import broken_promises, details
from tests.contract.errors.error_row import GET, IMPORT, UNKNOWN_ID, VALID
from tests.contract.errors.quota_error_rows import SPENDER, quota_rows
from tests.support.builders import health_of

_LIMIT = 3


@pytest.fixture
async def rationed(start_server: ServerFactory, database_url: str) -> AsyncIterator[RunningServer]:
    """A server on which everybody may read and write three times a minute, most of which is left."""
    settings = server_settings(quota_reads_per_minute=_LIMIT, quota_writes_per_minute=_LIMIT)
    async with start_server(settings=settings) as running:
        # What follows takes a second or two, and must not see the minute turn.
        while (await query(database_url, "SELECT extract(second FROM now()) > 50"))[0][0]:
            await health_of(running.channel, "")
        yield running


async def test_who_has_used_up_a_quota_is_refused_until_the_next_minute(rationed: RunningServer) -> None:
    for _ in range(_LIMIT):
        error = await call(rationed.channel, GET, VALID[GET].SerializeToString(), SPENDER)
        assert error is not None
        assert "TRACE_NOT_FOUND" in str(error.details())
    # One message of more items than a minute has takes all of it: imports are no way around.
    items = [
        trace_import_pb2.ImportItem(
            sequence=number, trace=trace_record_pb2.TraceRecord(title=f"{number}", context="b", solution="c")
        )
        for number in range(1, _LIMIT + 2)
    ]
    request = trace_import_pb2.ImportTracesRequest(import_id=UNKNOWN_ID, items=items)
    assert await call(rationed.channel, IMPORT, request.SerializeToString(), SPENDER) is None
    for row in quota_rows():
        error = await call(rationed.channel, row.rpc, row.payload, row.metadata)
        assert list(broken_promises(row, error)) == [], row.rpc
    assert error is not None
    [failure] = details(error, error_details_pb2.QuotaFailure)
    [violation] = failure.violations
    assert (violation.subject, violation.quota_value) == ("user:spender@example.org", _LIMIT)
    # Neither health nor others pay for it.
    await health_of(rationed.channel, "")
    async with connect(rationed.address, user="other@example.org") as client:
        assert [tag async for tag in client.tags()] == []


async def test_how_far_an_import_is_costs_a_read(rationed: RunningServer) -> None:
    async with connect(rationed.address, user="ada@example.org") as client:
        for _ in range(_LIMIT):
            assert (await client.import_progress(UNKNOWN_ID)).last_sequence == 0
        question = trace_import_pb2.ImportTracesRequest(import_id=UNKNOWN_ID).SerializeToString()
        error = await call(rationed.channel, IMPORT, question, (("x-commontrace-user", "ada@example.org"),))
        assert error is not None
        [info] = details(error, error_details_pb2.ErrorInfo)
        assert (info.reason, info.metadata["quota"]) == ("QUOTA_EXCEEDED", "READS")
        # Writes are left.
        await client.contribute("A title", "A problem", "A cure")


async def test_the_client_says_when_to_come_back_and_does_not_repeat_the_call(rationed: RunningServer) -> None:
    async with connect(rationed.address, user="ada@example.org") as client:
        for _ in range(_LIMIT):
            await client.search("a problem")
        with capture_logs() as logged, pytest.raises(ResourceExhausted, match="used up the 3 reads") as refusal:
            await client.search("a problem")
    assert refusal.value.reason == "QUOTA_EXCEEDED"
    assert 0 < (refusal.value.retry_after or 0) <= 60
    assert [line["event"] for line in logged] == ["TraceService/SearchTraces"]
