"""Every row of the error table over a real channel, and the table against the contract."""

import re
from collections.abc import Iterable
from contextlib import AsyncExitStack

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.rpc import error_details_pb2
from sqlalchemy import func, select
from structlog.testing import capture_logs

from commontrace.domain import limits
from commontrace.embeddings.embedder import Embedder
from commontrace.serving.bootstrap import Foundation
from commontrace.serving.server import serving
from commontrace.storage import engines
from commontrace.storage.database import Database
from commontrace.storage.models import Base
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.error_reason_pb2 import ErrorReason
from tests.conftest import RunningServer, ServerFactory, server_settings
from tests.contract.calls import METHODS, call
from tests.contract.errors.conflict_error_rows import Stored, conflict_rows, store
from tests.contract.errors.error_promises import PROMISES, broken_promises, details
from tests.contract.errors.error_row import CREATE, GET, SEARCH, VALID, Row, objects
from tests.contract.errors.error_table import caller_rows, padded, server_rows, stopping_rows
from tests.contract.errors.key_error_rows import Keys, key_rows
from tests.contract.errors.namespace_error_rows import (
    StoredNamespaces,
    namespace_conflict_rows,
    store_namespaces,
)
from tests.contract.errors.quota_error_rows import quota_rows, tag_name_rows
from tests.contract.serving import server_states
from tests.support.repository import REPOSITORY

_SOURCES = REPOSITORY / "src/commontrace"
_CALLER_ROWS = caller_rows()
_SERVER_ROWS = server_rows()
_ROWS = [
    *_CALLER_ROWS,
    *conflict_rows(Stored()),
    *namespace_conflict_rows(StoredNamespaces()),
    *(row for rows in _SERVER_ROWS.values() for row in rows),
    *stopping_rows(),
    *key_rows(Keys()),
    *quota_rows(),
    *tag_name_rows(),
]


@pytest.mark.parametrize("rpc", VALID)
async def test_every_way_a_caller_can_fail(server: RunningServer, database_url: str, rpc: str) -> None:
    assert await _failures(server, (row for row in _CALLER_ROWS if row.rpc == rpc)) == []
    assert await _stored_rows(database_url) == 0


async def test_every_field_at_fault_is_named(server: RunningServer) -> None:
    request = pb.CreateTraceRequest(title=" ", context="a\0" * limits.CONTEXT_CHARACTERS, tags=["", "fine", "a+b"])
    error = await call(server.channel, CREATE, request.SerializeToString())
    assert error is not None
    [bad_request] = details(error, error_details_pb2.BadRequest)
    assert [(violation.field, violation.reason) for violation in bad_request.field_violations] == [
        ("title", "FIELD_REQUIRED"),
        ("context", "FIELD_TOO_LONG"),
        ("context", "FORBIDDEN_CHARACTER"),
        ("solution", "FIELD_REQUIRED"),
        ("tags[0]", "INVALID_TAG"),
        ("tags[2]", "INVALID_TAG"),
    ]


async def test_every_conflict_with_what_is_stored(server: RunningServer) -> None:
    assert await _failures(server, conflict_rows(await store(server))) == []


async def test_every_conflict_with_stored_namespaces(keyed: RunningServer, database_url: str) -> None:
    assert await _failures(keyed, namespace_conflict_rows(await store_namespaces(keyed, database_url))) == []


@pytest.mark.parametrize("state", _SERVER_ROWS)
async def test_every_state_of_the_server_that_fails_a_call(
    start_server: ServerFactory, database_url: str, state: str
) -> None:
    async with server_states.STATES[state](start_server, database_url) as running:
        assert await _failures(running, _SERVER_ROWS[state]) == []
    assert await _stored_rows(database_url) == 0


@pytest.mark.parametrize("row", stopping_rows(), ids=lambda row: row.rpc)
async def test_what_has_no_end_ends_when_the_server_stops(database: Database, embedder: Embedder, row: Row) -> None:
    async with AsyncExitStack() as running:
        foundation = Foundation(database=database, embedder=embedder)
        address = await running.enter_async_context(serving(server_settings(), foundation))
        async with grpc.aio.insecure_channel(address) as channel:
            streaming: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(row.rpc)
            stream = streaming(row.payload or b"")
            await stream.read()
            await running.aclose()
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await stream.read()
    assert list(broken_promises(row, failure.value)) == []


async def test_the_log_explains_an_internal_failure_under_its_call_id(
    start_server: ServerFactory, database_url: str
) -> None:
    async with server_states.schema_broken(start_server, database_url) as running:
        with capture_logs() as logged:
            error = await call(running.channel, GET, VALID[GET].SerializeToString())
    assert error is not None
    [info] = details(error, error_details_pb2.ErrorInfo)
    [explained] = [line for line in logged if line["log_level"] == "error"]
    assert explained["call_id"] == info.metadata["call_id"]
    assert "deleted_at" in str(explained["exc_info"])


async def test_values_at_their_limits_are_taken(server: RunningServer) -> None:
    metadata = objects(16)
    as_json = 15 * '{"k":' + '{"k":null,"padding":""}' + 15 * "}"
    metadata.fields["padding"].string_value = "x" * (limits.METADATA_BYTES - len(as_json))
    at_limit = pb.CreateTraceRequest(
        title="é" * limits.TITLE_CHARACTERS,
        context="é" * limits.CONTEXT_CHARACTERS,
        solution="é" * limits.SOLUTION_CHARACTERS,
        tags=[f"{number:050}" for number in range(limits.TAGS)],
        agent_model="é" * limits.AGENT_MODEL_CHARACTERS,
        agent_version="é" * limits.AGENT_VERSION_CHARACTERS,
        metadata=metadata,
    )
    created = (await server.traces.CreateTrace(at_limit)).created
    search = pb.SearchTracesRequest(
        text="é" * limits.QUERY_CHARACTERS, limit=limits.SEARCH_HITS, batch_size=limits.SEARCH_HITS
    )
    responses = [response async for response in server.traces.SearchTraces(search)]
    assert [hit.trace for response in responses for hit in response.hits] == [created]
    longest = (("x-commontrace-user", f"{'a' * (limits.EMAIL_CHARACTERS - len('@example.org'))}@example.org"),)
    for rpc in (CREATE, SEARCH):
        largest = padded(VALID[rpc].SerializeToString(), limits.REQUEST_BYTES)
        assert await call(server.channel, rpc, largest, longest) is None


def test_every_rpc_has_rows() -> None:
    assert set(VALID) == set(METHODS)
    assert {row.rpc for row in _CALLER_ROWS} == set(METHODS)


def test_every_field_of_a_request_has_a_row() -> None:
    with_row = {(row.rpc, re.split(r"[.\[]", row.field)[0]) for row in _CALLER_ROWS}
    fields = {
        (rpc, field.name)
        for rpc, method in METHODS.items()
        for field in method.input_type.fields
        # Neither value of a bool can be wrong.
        if field.type != FieldDescriptor.TYPE_BOOL
    }
    assert fields - with_row == set()


def test_every_reason_has_rows_with_the_code_that_its_comment_says() -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()} - {"UNSPECIFIED"}  # noqa: SIM118
    assert set(PROMISES) == reasons
    of_calls = {(name, promise.code) for name, promise in PROMISES.items() if not promise.of_items_only}
    assert {(row.reason, row.code) for row in _ROWS if row.reason} == of_calls


def test_the_code_names_no_reason_that_the_contract_lacks() -> None:
    sources = [path.read_text() for path in _SOURCES.rglob("*.py") if path.parent.name != "v1"]
    named = {name for source in sources for name in re.findall(r"ERROR_REASON_[A-Z_]*[A-Z]", source)}
    assert named
    assert named <= set(ErrorReason.keys())


async def _failures(running: RunningServer, rows: Iterable[Row]) -> list[str]:
    return [
        f"{row.rpc.rpartition('/')[2]}, {row.name}: {broken}"
        for row in rows
        for broken in broken_promises(row, await call(running.channel, row.rpc, row.payload, row.metadata))
    ]


async def _stored_rows(url: str) -> int:
    engine = engines.unpooled(url)
    async with engine.connect() as connection:
        stored = [
            await connection.scalar(select(func.count()).select_from(table))
            for table in Base.metadata.sorted_tables
            if table.name != "embedding_models"
        ]
    await engine.dispose()
    # `commons` is there from the beginning.
    return sum(count or 0 for count in stored) - 1
