"""Filters by metadata that cost the most, 24 at a time, of traces that make them cost the most: others go on."""

import asyncio
import time
from collections import Counter
from uuid import uuid4

import grpc
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from commontrace.v1.trace_record_pb2 import TraceRecord
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.contract.calls import call
from tests.contract.errors.error_promises import details
from tests.contract.errors.error_row import LIST, SEARCH
from tests.contract.imports.imports import a_record, acknowledged, message
from tests.faults.harness.callers import callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.good_clients import good_clients
from tests.faults.harness.servers import server
from tests.support.keys import Metadata

_AT_A_TIME, _SECONDS, _LEAST_SECONDS = 24, 15.0, 5.0
_TRACES, _TRACES_A_MESSAGE = 600, 10
_P99_SECONDS = 0.5
_PAUSE_SECONDS = 0.01


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: metadata and filters by them hold what fits into their bytes, and have the time of any statement."""
    with server(trial, "filter budget") as running:
        callers = callers_of(running)
        good, other = [await callers.metadata(f"{name}@example.org") for name in ("good", "other")]
        async with grpc.aio.insecure_channel(running.address) as channel:
            traces = TraceServiceStub(channel)
            limits = (await traces.GetServiceInfo(pb.GetServiceInfoRequest(), metadata=other)).limits
            await _store(traces, _costly(trial.times(_TRACES), limits.metadata_values), other)
            # Newest, and alike what they search for: good clients read nothing costly.
            await _store(traces, [a_record(-number, title="Why does it fail?") for number in range(1, 61)], good)
            asked = TraceFilter(metadata=_list_of(limits.filter_values - 1, number=2))
            async with good_clients(running.address, good) as fared:
                ends_at = time.monotonic() + max(_LEAST_SECONDS, _SECONDS * trial.scale)
                answers = await asyncio.gather(
                    *(_ask(channel, number, asked, other, until=ends_at) for number in range(_AT_A_TIME))
                )
    costly = sum(answers, Counter[str]())
    did = ", ".join(f"{count} {answer}" for answer, count in costly.most_common())
    return [
        Figure(
            name="costly filters by metadata: errors of good clients",
            target="0",
            measured=str(fared),
            ok=not fared.failures,
        ),
        Figure(
            name="costly filters by metadata: answers to good clients",
            target=f"p99 at most {_P99_SECONDS:g} s",
            measured=f"p99 {fared.p99:.2f} s of {len(fared.took)}",
            ok=fared.p99 <= _P99_SECONDS,
        ),
        Figure(
            name="costly filters by metadata: answers to who asks for them",
            target="some get all there is, most that or OVERLOADED, within 10 s",
            measured=did,
            ok=costly["answered"] > 0 and 2 * (costly["answered"] + costly["OVERLOADED"]) > costly.total(),
        ),
    ]


async def _ask(
    channel: grpc.aio.Channel, number: int, asked: TraceFilter, caller: Metadata, *, until: float
) -> Counter[str]:
    """Lists or searches, one call after the other; returns how they were answered."""
    rpc, request = (
        (LIST, pb.ListTracesRequest(filter=asked)),
        (SEARCH, pb.SearchTracesRequest(text="why does it fail?", filter=asked)),
    )[number % 2]
    answers: Counter[str] = Counter()
    while time.monotonic() < until:
        error = await call(channel, rpc, request.SerializeToString(), caller)
        answers["answered" if error is None else _reason(error)] += 1
        # Others of the same process want to be measured, not their wait for it.
        await asyncio.sleep(_PAUSE_SECONDS)
    return answers


def _reason(error: grpc.aio.AioRpcError) -> str:
    infos = details(error, error_details_pb2.ErrorInfo)
    return str(infos[0].reason) if infos else error.code().name


def _list_of(length: int, *, number: int, last: int | None = None) -> Struct:
    metadata = Struct()
    metadata.update({"k": [number] * (length - 1) + [number if last is None else last]})
    return metadata


def _costly(count: int, values: int) -> list[TraceRecord]:
    """Returns traces whose metadata hold what is asked for last of all."""
    return [a_record(number, metadata=_list_of(values - 1, number=1, last=2)) for number in range(count)]


async def _store(traces: TraceServiceStub, records: list[TraceRecord], caller: Metadata) -> None:
    for first in range(0, len(records), _TRACES_A_MESSAGE):
        some = message(records[first : first + _TRACES_A_MESSAGE], import_id=str(uuid4()))
        await acknowledged(traces, some, caller=caller)
