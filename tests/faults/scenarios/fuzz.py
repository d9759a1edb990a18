"""Fuzzing: any bytes get a clean refusal or a right answer, and the server goes on."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from random import Random

import grpc
from google.rpc import error_details_pb2

from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.contract.calls import call, converse
from tests.contract.errors.error_promises import LEAK, details
from tests.contract.errors.error_row import SEARCH
from tests.faults.harness.callers import callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.garbage import USER, GarbageCall, garbage
from tests.faults.harness.servers import server

_CALLS = 100_000
_AT_ONCE = 4
"""As many as there are connections of each kind: one that is not returned is missed."""
_REPETITIONS = 5

_HANGS, _LEAKS, _UNEXPECTED = "hangs", "leaked texts", "others than refusals"
_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    # Of traces that a message before has imported under the id that others name.
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.FAILED_PRECONDITION,
    # Of tokens whose bytes were changed.
    grpc.StatusCode.OUT_OF_RANGE,
}


async def measure(trial: Trial) -> list[Figure]:
    """Fails where a kind of answer is missing: then the garbage does not reach what it should."""
    random = Random(trial.seed)  # noqa: S311 - not a secret
    with server(trial, "guard", DATABASE_POOL_SIZE=str(_AT_ONCE)) as running:
        async with callers_of(running).channel(running.address, users=[USER]) as channel:
            traces = TraceServiceStub(channel)
            model = (await traces.GetServiceInfo(pb.GetServiceInfoRequest())).embedding_model
            calls = garbage(random, trial.times(_CALLS), model_id=model.id, dimensions=model.dimensions)
            problems, codes = Counter[str](), Counter[grpc.StatusCode]()
            examples: dict[str, str] = {}
            remaining = iter(calls)

            async def send() -> None:
                for sent in remaining:
                    error = await _answer(channel, sent)
                    codes[error.code() if error is not None else grpc.StatusCode.OK] += 1
                    for problem in _problems(error, sent) if error is not None else ():
                        problems[problem] += 1
                        examples.setdefault(problem, f"{problem}: {sent}: {error}")

            await asyncio.gather(*(send() for _ in range(_AT_ONCE)))
            if trial.protected:
                for code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
                    assert codes[code] > len(calls) / 500, codes
                await _check_still_serves(channel, traces)
                assert "unexpected failure" not in running.stderr, running.stderr[-4000:]
    counted = [f"{problems[kind]} {kind}" for kind in ("UNKNOWN", "INTERNAL", _HANGS, _LEAKS, _UNEXPECTED)]
    return [
        Figure(
            name="fuzzed requests over every RPC",
            target="0 UNKNOWN, INTERNAL, hangs, leaked exception texts",
            measured=f"{', '.join(counted)} of {len(calls):,}"
            + "".join(f"; {example}" for example in examples.values()),
            ok=not problems,
        )
    ]


async def _answer(channel: grpc.aio.Channel, sent: GarbageCall) -> grpc.aio.AioRpcError | None:
    if len(sent.payloads) < 2:
        return await call(channel, sent.rpc, sent.payloads[0] if sent.payloads else None, sent.metadata)
    for _ in range(_REPETITIONS):
        error = await converse(channel, sent.rpc, sent.payloads, sent.metadata)
        # Where a refusal comes while grpc.aio is sending, it makes up a failure of its own.
        if error is None or error.code() is not grpc.StatusCode.INTERNAL or details(error):
            break
    return error


def _problems(error: grpc.aio.AioRpcError, sent: GarbageCall) -> Iterator[str]:
    leak = LEAK.search(error.details() or "")
    # Tags and paths are quoted.
    if leak is not None and leak.group().lower().encode() not in b"".join(sent.payloads).lower():
        yield _LEAKS
    if error.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
        yield error.code().name
    elif error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        yield _HANGS
    elif error.code() not in _REFUSALS or not details(error, error_details_pb2.ErrorInfo):
        yield _UNEXPECTED


async def _check_still_serves(channel: grpc.aio.Channel, traces: TraceServiceStub) -> None:
    everything = pb.SearchTracesRequest(text="does it still answer?", limit=1000)
    found = [hit.trace async for response in traces.SearchTraces(everything) for hit in response.hits]
    assert len(found) > 10  # how many depends on what hypothesis draws
    for trace in found[:100]:
        assert (await traces.GetTrace(pb.GetTraceRequest(trace_id=trace.id))).trace == trace
    similar = pb.SearchTracesRequest(trace_id=found[0].id, view=trace_pb2.TRACE_VIEW_BASIC).SerializeToString()
    assert await asyncio.gather(*(call(channel, SEARCH, similar) for _ in range(20))) == [None] * 20
