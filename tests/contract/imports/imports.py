"""Imports as tests make them: records, messages, streams."""

from collections.abc import AsyncIterator, Iterable
from typing import Any
from uuid import uuid4

import numpy as np

from commontrace.settings import INSTALLED_MODEL
from commontrace.v1 import error_reason_pb2, trace_record_pb2, vector_pb2
from commontrace.v1 import trace_import_pb2 as imports_pb
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.contract.callers import ADA
from tests.integration.storage.storing import unit_vector

Results = list[imports_pb.ImportResult]


def a_record(number: int = 0, **changes: Any) -> trace_record_pb2.TraceRecord:
    """A trace that differs from others by its number."""
    fields: dict[str, Any] = {
        "title": f"Import number {number}",
        "context": f"Problem number {number} appeared.",
        "solution": f"Solution number {number} made it go away.",
        "tags": ["Python", f"kind-{number % 3}"],
    }
    return trace_record_pb2.TraceRecord(**(fields | changes))


def a_vector(seed: int, *, length: float = 1.0, model_id: str = INSTALLED_MODEL) -> vector_pb2.Vector:
    """A vector of the server's model."""
    components = unit_vector(seed) * np.float32(length)
    return vector_pb2.Vector(packed_f32=components.astype("<f4").tobytes(), model_id=model_id)


def message(
    records: Iterable[trace_record_pb2.TraceRecord] = (), *, first: int = 1, import_id: str = ""
) -> imports_pb.ImportTracesRequest:
    """Records with ascending sequences."""
    items = [
        imports_pb.ImportItem(sequence=sequence, trace=record) for sequence, record in enumerate(records, start=first)
    ]
    return imports_pb.ImportTracesRequest(import_id=import_id, items=items)


async def acknowledged(
    traces: TraceServiceStub, *requests: imports_pb.ImportTracesRequest, caller: Any = ADA
) -> list[imports_pb.ImportTracesResponse]:
    """The answers to one stream of messages."""

    async def sent() -> AsyncIterator[imports_pb.ImportTracesRequest]:
        for request in requests:
            yield request

    return [response async for response in traces.ImportTraces(sent(), metadata=caller, timeout=30)]


async def imported(
    traces: TraceServiceStub, *records: trace_record_pb2.TraceRecord, import_id: str = "", caller: Any = ADA
) -> Results:
    """What became of the records of one message."""
    [response] = await acknowledged(traces, message(records, import_id=import_id or str(uuid4())), caller=caller)
    return list(response.results)


def outcomes(results: Iterable[imports_pb.ImportResult]) -> list[str]:
    """What became of each item, in a word; failures by their reason."""
    return [_outcome(result) for result in results]


def unlinked(result: imports_pb.ImportResult) -> str:
    """The reason why it replaces nothing, empty without one."""
    return _reason(result.supersedes_error) if result.HasField("supersedes_error") else ""


def trace_id_of(result: imports_pb.ImportResult) -> str:
    """The trace that an item became or was there already."""
    return result.created_trace_id or result.existing_trace_id


def _outcome(result: imports_pb.ImportResult) -> str:
    kind = str(result.WhichOneof("outcome"))
    return _reason(result.error) if kind == "error" else kind.removesuffix("_trace_id")


def _reason(error: error_reason_pb2.ItemError) -> str:
    return error_reason_pb2.ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
