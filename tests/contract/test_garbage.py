"""Whatever bytes arrive: a clean refusal or a right answer, and a server that goes on."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from random import Random
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from commontrace.embeddings.embedder import INSTALLED_MODEL
from commontrace.storage.database import Database
from commontrace.v1 import trace_pb2, trace_record_pb2, vector_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, ServerFactory
from tests.contract.calls import METHODS, call
from tests.contract.error_promises import details
from tests.contract.error_row import CREATE, GET, IMPORT, SEARCH, objects
from tests.contract.imports import message
from tests.contract.message_strategies import enums, ids, int32, messages, text

_SEED = 20_260_101
_NOISE, _MUTATED, _BUILT = 200, 900, 150
"""Calls of each kind; the messages of the last kind are built for each RPC, a third for most, and mutated as well."""
_AT_ONCE = 4

_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.PERMISSION_DENIED,
    # Of traces that a message before has imported under the id that others name.
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.FAILED_PRECONDITION,
}

Call = tuple[str, bytes]

_floats = st.floats(width=32) | st.floats(-1, 1, width=32)


def _embeddings() -> SearchStrategy[vector_pb2.Vector]:
    # One component, repeated: hundreds drawn one by one would take hypothesis longer than everything else.
    lengths = st.sampled_from([0, 1, 383, 384, 384, 384, 385])
    packed = st.builds(lambda number, length: number * length, st.binary(min_size=4, max_size=4), lengths)
    listed = st.builds(lambda number, length: vector_pb2.FloatVector(values=[number] * length), _floats, lengths)
    models = st.sampled_from([INSTALLED_MODEL, INSTALLED_MODEL, "", "another"])
    return st.builds(vector_pb2.Vector, packed_f32=packed, model_id=models) | st.builds(
        vector_pb2.Vector, float_vector=listed, model_id=models
    )


_visible = st.characters(exclude_categories=["C"])
_contributions: dict[str, SearchStrategy[Any]] = {
    "title": st.text(_visible, min_size=1),
    "context": st.text(_visible, min_size=1),
    "solution": st.text(_visible, min_size=1),
    "tags": st.lists(st.text(st.characters(categories=["L", "Nd"]), min_size=1), max_size=4),
    "metadata": st.integers(1, 30).map(objects),
    "on_duplicate": st.integers(0, 3),
}
_records = st.builds(
    trace_record_pb2.TraceRecord,
    **_contributions,
    id=ids | st.just(""),
    create_time=st.none() | st.builds(Timestamp, seconds=st.integers(-(2**37), 2**31), nanos=st.integers(0, 10**9)),
    supersedes_trace_id=ids | st.just(""),
    embedding=st.none() | _embeddings(),
)
_MOSTLY_VALID: dict[str, SearchStrategy[Any]] = {
    # What is stored must not harm whoever finds it.
    CREATE: st.builds(pb.CreateTraceRequest, **_contributions),
    IMPORT: st.builds(
        message, st.lists(_records, max_size=4), first=st.integers(1, 2**63 - 5), import_id=st.uuids().map(str)
    ),
    GET: st.builds(pb.GetTraceRequest, trace_id=ids),
    SEARCH: st.builds(pb.SearchTracesRequest, text=text, limit=int32, view=enums, batch_size=int32)
    | st.builds(pb.SearchTracesRequest, embedding=_embeddings(), limit=int32)
    | st.builds(pb.SearchTracesRequest, trace_id=ids, limit=int32),
}


def _built(rpc: str) -> list[bytes]:
    """Draws messages of the RPC's request, the same in every run."""
    drawn: list[bytes] = []

    @settings(
        max_examples=_BUILT if rpc in _MOSTLY_VALID else _BUILT // 3,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(messages(METHODS[rpc].input_type) | _MOSTLY_VALID.get(rpc, st.nothing()))
    def draw(message: Any) -> None:
        drawn.append(message.SerializeToString())

    draw()
    return drawn


def _flipped(random: Random, payload: bytearray) -> None:
    for _ in range(random.randint(1, 8)):
        payload[random.randrange(len(payload))] ^= 1 << random.randrange(8)


def _cut(random: Random, payload: bytearray) -> None:
    del payload[random.randrange(len(payload)) :]


def _swapped(random: Random, payload: bytearray) -> None:
    start = random.randrange(len(payload))
    payload[start : start + random.randint(1, 8)] = random.randbytes(random.randint(0, 8))


def _doubled(random: Random, payload: bytearray) -> None:
    start = random.randrange(len(payload))
    payload += payload[start:]


_MUTATIONS: list[Callable[[Random, bytearray], None]] = [_flipped, _cut, _swapped, _doubled]


def _garbage(random: Random) -> Iterator[Call]:
    rpcs = list(METHODS)
    built = {rpc: _built(rpc) for rpc in rpcs}
    yield from ((rpc, payload) for rpc, payloads in built.items() for payload in payloads)
    for _ in range(_NOISE):
        yield random.choice(rpcs), random.randbytes(random.randint(1, 300))
    for _ in range(_MUTATED):
        # A message of one RPC also goes to another.
        payload = bytearray(random.choice(built[random.choice(rpcs)]) or b"\0")
        random.choice(_MUTATIONS)(random, payload)
        yield random.choice(rpcs), bytes(payload)


@pytest.fixture
async def small_server(start_server: ServerFactory, database_url: str) -> AsyncIterator[RunningServer]:
    """A server with as few connections as there are calls at once: one that is not returned is missed."""
    database = Database(database_url, pool_size=_AT_ONCE, pool_timeout=5)
    try:
        async with start_server(database=database) as running:
            yield running
    finally:
        await database.close()


# The messages do not reach the parts in which Postgres versions differ.
@pytest.mark.parametrize("postgres_version", ["18"], indirect=True, scope="session")
async def test_garbage_is_refused_and_harms_nobody(small_server: RunningServer) -> None:
    channel = small_server.channel
    random = Random(_SEED)  # noqa: S311 - not a secret
    calls = list(_garbage(random))
    random.shuffle(calls)
    assert len(calls) > 1_500
    codes: Counter[grpc.StatusCode] = Counter()
    remaining = iter(enumerate(calls))

    async def send() -> None:
        for number, (rpc, payload) in remaining:
            error = await call(channel, rpc, payload)
            codes[error.code() if error is not None else grpc.StatusCode.OK] += 1
            problem = _problem(error)
            assert not problem, f"seed {_SEED}, call {number}: {rpc} of {payload.hex()} {problem}"

    async with asyncio.TaskGroup() as senders:
        for _ in range(_AT_ONCE):
            senders.create_task(send())
    # None of the kinds is missing because all of its calls fail for the same reason.
    assert codes[grpc.StatusCode.OK] > 100
    assert codes[grpc.StatusCode.INVALID_ARGUMENT] > 500
    assert codes[grpc.StatusCode.NOT_FOUND] > 10
    await _still_serves(small_server)


def _problem(error: grpc.aio.AioRpcError | None) -> str:
    if error is None:
        return ""
    if error.code() not in _REFUSALS:
        return f"ends with {error.code()}: {error.details()}"
    return "" if details(error) else "has no details"


async def _still_serves(running: RunningServer) -> None:
    everything = pb.SearchTracesRequest(text="does it still answer?", limit=1000)
    found = [hit.trace async for response in running.traces.SearchTraces(everything) for hit in response.hits]
    assert len(found) > 10  # how many depends on what hypothesis draws
    for trace in found:
        assert (await running.traces.GetTrace(pb.GetTraceRequest(trace_id=trace.id))).trace == trace
    similar = [pb.SearchTracesRequest(trace_id=found[0].id, view=trace_pb2.TRACE_VIEW_BASIC)] * 20
    burst = await asyncio.gather(*(call(running.channel, SEARCH, request.SerializeToString()) for request in similar))
    assert burst == [None] * 20
