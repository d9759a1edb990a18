"""Calls that no client would make: noise, messages built at random, and such with their bytes changed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from commontrace.v1 import trace_record_pb2, vector_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.contract.calls import METHODS
from tests.contract.errors.error_row import CREATE, GET, IMPORT, SEARCH, objects
from tests.contract.imports.imports import message
from tests.contract.message_strategies import enums, ids, int32, messages, text

_NAMED = "x-commontrace-user"
USER = "ada@example.org"


@dataclass(frozen=True, kw_only=True, slots=True)
class GarbageCall:
    """RPC and its messages: none, one, or several where the RPC takes a stream."""

    rpc: str
    payloads: tuple[bytes, ...]
    metadata: tuple[tuple[str, str], ...] = ()


_floats = st.floats(width=32) | st.floats(-1, 1, width=32)
_visible = st.characters(exclude_categories=["C"])
_contributions: dict[str, SearchStrategy[Any]] = {
    "title": st.text(_visible, min_size=1),
    "context": st.text(_visible, min_size=1),
    "solution": st.text(_visible, min_size=1),
    "tags": st.lists(st.text(st.characters(categories=["L", "Nd"]), min_size=1), max_size=4),
    "metadata": st.integers(1, 30).map(objects),
    "on_duplicate": st.integers(0, 3),
}


def _embeddings(model_id: str, dimensions: int) -> SearchStrategy[vector_pb2.Vector]:
    # One component, repeated: hundreds drawn one by one would take hypothesis longer than everything else.
    lengths = st.sampled_from([0, 1, dimensions - 1, dimensions, dimensions, dimensions, dimensions + 1])
    packed = st.builds(lambda number, length: number * length, st.binary(min_size=4, max_size=4), lengths)
    listed = st.builds(lambda number, length: vector_pb2.FloatVector(values=[number] * length), _floats, lengths)
    models = st.sampled_from([model_id, model_id, "", "another"])
    return st.builds(vector_pb2.Vector, packed_f32=packed, model_id=models) | st.builds(
        vector_pb2.Vector, float_vector=listed, model_id=models
    )


def _mostly_valid(embeddings: SearchStrategy[vector_pb2.Vector]) -> dict[str, SearchStrategy[Any]]:
    records = st.builds(
        trace_record_pb2.TraceRecord,
        **_contributions,
        id=ids | st.just(""),
        create_time=st.none() | st.builds(Timestamp, seconds=st.integers(-(2**37), 2**31), nanos=st.integers(0, 10**9)),
        supersedes_trace_id=ids | st.just(""),
        embedding=st.none() | embeddings,
    )
    return {
        # What is stored must not harm whoever finds it.
        CREATE: st.builds(pb.CreateTraceRequest, **_contributions),
        IMPORT: st.builds(
            message, st.lists(records, max_size=4), first=st.integers(1, 2**63 - 5), import_id=st.uuids().map(str)
        ),
        GET: st.builds(pb.GetTraceRequest, trace_id=ids),
        SEARCH: st.builds(pb.SearchTracesRequest, text=text, limit=int32, view=enums, batch_size=int32)
        | st.builds(pb.SearchTracesRequest, embedding=embeddings, limit=int32)
        | st.builds(pb.SearchTracesRequest, trace_id=ids, limit=int32),
    }


def _drawn(strategy: SearchStrategy[Any], count: int, seed_number: int) -> list[bytes]:
    drawn: list[bytes] = []

    @seed(seed_number)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(built: Any) -> None:
        drawn.append(built.SerializeToString())

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


def garbage(random: Random, count: int, *, model_id: str, dimensions: int) -> list[GarbageCall]:
    """Returns so many calls in any order: a quarter as hypothesis builds them, a tenth noise, the others mutated."""
    mostly_valid = _mostly_valid(_embeddings(model_id, dimensions))
    share = max(1, count // 4 // (len(METHODS) + 2 * len(mostly_valid)))
    built: dict[str, list[bytes]] = {}
    for rpc, method in METHODS.items():
        strategy = messages(method.input_type) | mostly_valid.get(rpc, st.nothing())
        built[rpc] = _drawn(strategy, 3 * share if rpc in mostly_valid else share, random.getrandbits(32))
    calls = [GarbageCall(rpc=rpc, payloads=(payload,)) for rpc, payloads in built.items() for payload in payloads]
    others = _others(random, built, noise=count // 10)
    calls += (next(others) for _ in range(count - len(calls)))
    random.shuffle(calls)
    return calls


def _others(random: Random, built: dict[str, list[bytes]], *, noise: int) -> Iterator[GarbageCall]:
    rpcs = list(METHODS)
    yield from (GarbageCall(rpc=rpc, payloads=()) for rpc in rpcs)
    for _ in range(noise):
        yield GarbageCall(rpc=random.choice(rpcs), payloads=(random.randbytes(random.randint(1, 300)),))
    while True:
        rpc = random.choice(rpcs)
        several = random.randint(1, 4) if METHODS[rpc].client_streaming else 1
        payloads = tuple(_mutated(random, built, rpc) for _ in range(several))
        yield GarbageCall(rpc=rpc, payloads=payloads, metadata=_metadata(random))


def _mutated(random: Random, built: dict[str, list[bytes]], rpc: str) -> bytes:
    # A message of one RPC also goes to another; and in a stream, some before the broken one are whole.
    payload = bytearray(random.choice(built[random.choice([rpc, random.choice(list(built))])]) or b"\0")
    if not METHODS[rpc].client_streaming or random.random() < 0.7:
        random.choice(_MUTATIONS)(random, payload)
    return bytes(payload)


def _metadata(random: Random) -> tuple[tuple[str, str], ...]:
    if random.random() > 0.05:
        return ()
    values = [USER, "".join(chr(random.randint(0x20, 0x7E)) for _ in range(random.randint(0, 400)))]
    return tuple((_NAMED, random.choice(values)) for _ in range(random.randint(1, 2)))
