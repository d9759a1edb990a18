"""Requests as tests need them: valid, unless told otherwise."""

from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub


def a_contribution(number: int = 0, **changes: Any) -> pb.CreateTraceRequest:
    """A trace that differs from others by its number."""
    fields: dict[str, Any] = {
        "title": f"Trace number {number}",
        "context": f"Problem number {number} appeared.",
        "solution": f"Solution number {number} made it go away.",
        "tags": ["python"],
    }
    return pb.CreateTraceRequest(**(fields | changes))


async def search(traces: TraceServiceStub, **fields: Any) -> list[pb.SearchTracesResponse]:
    """Every message of a search stream."""
    return [response async for response in traces.SearchTraces(pb.SearchTracesRequest(**fields), timeout=20)]


def hits_of(responses: list[pb.SearchTracesResponse]) -> list[pb.SearchHit]:
    """The hits of a whole stream."""
    return [hit for response in responses for hit in response.hits]


async def store_large_trace(traces: TraceServiceStub) -> str:
    """Stores a trace of 100 KB and returns its id."""
    large = "x" * 50_000
    return (await traces.CreateTrace(a_contribution(context=large, solution=large))).created.id


WITHOUT_WORDS = "DROP TRIGGER words_of_new ON traces; DROP TRIGGER words_of_changed ON traces"
"""Of long texts the words take longest, and tests with many do not ask for them."""


def copies_of(trace_id: str, count: int) -> str:
    """The SQL that makes `count` traces of one, faster than they could be encoded."""
    columns = (
        "title, context_text, solution_text, agent_model,"
        " embedding, embedding_model_id, embedding_model_version, contributor_id"
    )
    copies = f"SELECT gen_random_uuid(), {columns} FROM traces, generate_series(2, {count})"  # noqa: S608 - our own names
    return f"INSERT INTO traces (id, {columns}) {copies} WHERE id = '{trace_id}'"


def large_copies_of(trace_id: str, count: int) -> str:
    """The same for a trace of long texts, by which nobody searches."""
    return f"{WITHOUT_WORDS}; {copies_of(trace_id, count)}"


async def health_of(channel: grpc.aio.Channel, service: str) -> int:
    """What the health service says of a service."""
    # The library's stubs are typed without their methods.
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=1)).status)
