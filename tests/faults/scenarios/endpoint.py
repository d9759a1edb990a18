"""An embedding endpoint that means harm: what it takes of memory, what callers are told, where their texts go."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import grpc

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.contract.callers import reason_of
from tests.faults.harness.attacks import MEGABYTE, attacked
from tests.faults.harness.callers import callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.good_clients import good_clients
from tests.faults.harness.servers import server
from tests.support.builders import a_contribution
from tests.support.embedding_server import KEY, MODEL, OWN_DIMENSIONS, Answering, EmbeddingServer
from tests.support.hostile_answers import CHUNKED, OK, body, bomb, chunk, endless
from tests.support.keys import Metadata

_AT_A_TIME, _SECONDS, _LEAST_SECONDS = 24, 1.5, 0.5
_MOST_BYTES = 64 * MEGABYTE
_TOLD = {"OK", "EMBEDDER_UNAVAILABLE"}


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: an HTTP client as it comes, which reads answers to their end and follows redirects."""
    with ExitStack() as stack:
        endpoint, elsewhere = (stack.enter_context(EmbeddingServer()) for _ in range(2))
        settings = {"EMBEDDER": "openai", "EMBEDDING_BASE_URL": endpoint.url, "EMBEDDING_MODEL": MODEL}
        settings |= {"EMBEDDING_API_KEY": KEY, "EMBEDDING_TIMEOUT_SECONDS": "2"}
        running = stack.enter_context(server(trial, "endpoint bounds", **settings))
        callers = callers_of(running)
        good, other = [await callers.metadata(f"{name}@example.org") for name in ("good", "other")]
        async with good_clients(running.address, good):
            await asyncio.sleep(1.0)
        answers, asked = Counter[str](), len(endpoint.requests)
        async with attacked(running, good) as attack, grpc.aio.insecure_channel(running.address) as channel:
            for answering in _hostile(elsewhere):
                endpoint.answering = answering
                ends_at = time.monotonic() + max(_LEAST_SECONDS, _SECONDS * trial.scale)
                for counted in await asyncio.gather(
                    *(_ask(TraceServiceStub(channel), number, other, until=ends_at) for number in range(_AT_A_TIME))
                ):
                    answers += counted
        asked = len(endpoint.requests) - asked
    did = ", ".join(f"{count} {answer}" for answer, count in answers.most_common())
    return [
        Figure(
            name="hostile embedding endpoint: memory of the server",
            target="at most 64 MB more",
            measured=attack.memory,
            ok=attack.peak <= _MOST_BYTES,
        ),
        Figure(
            name="hostile embedding endpoint: texts sent elsewhere",
            target="0",
            measured=f"{len(elsewhere.requests)} of {asked} requests",
            ok=bool(asked) and not elsewhere.requests,
        ),
        Figure(
            name="hostile embedding endpoint: answers that name no reason, errors of others",
            target="0",
            measured=f"{did}; {attack.fared}",
            ok=set(answers) == _TOLD and not attack.fared.failures,
        ),
    ]


def _hostile(elsewhere: EmbeddingServer) -> Iterator[Answering]:
    for digits in (4_000, 5_000):
        numbers = ",".join(["9" * digits] + ["1"] * (OWN_DIMENSIONS - 1))
        yield body(f'{{"data":[{{"index":0,"embedding":[{numbers}]}}]}}'.encode())
    yield body(bomb(64), "Content-Encoding: gzip")
    yield endless(chunk(b"[" * 65_536), first=CHUNKED)
    yield endless(b" " * 65_536, first=OK + b"\r\n")
    # By another name it is another host.
    location = f"Location: {elsewhere.url.replace('127.0.0.1', 'localhost')}/embeddings"
    for status in ("307 Temporary Redirect", "308 Permanent Redirect"):
        yield body(b"", location, status=status)


async def _ask(traces: TraceServiceStub, number: int, caller: Metadata, *, until: float) -> Counter[str]:
    """Searches and contributes, always with another text."""
    answers: Counter[str] = Counter()
    while time.monotonic() < until:
        text = f"What does {uuid4().hex} mean?"
        if number % 4:
            answers[await reason_of(_read(traces, pb.SearchTracesRequest(text=text), caller))] += 1
        else:
            answers[await reason_of(traces.CreateTrace(a_contribution(title=text, context=text), metadata=caller))] += 1
        # Others of the same process want to be measured, not their wait for it.
        await asyncio.sleep(0.01)
    return answers


async def _read(traces: TraceServiceStub, request: pb.SearchTracesRequest, caller: Metadata) -> None:
    async for _ in traces.SearchTraces(request, metadata=caller, timeout=10.0):
        pass
