"""Calls that contribute, edit and delete traces."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.client.aio.calls import Calls
from commontrace.client.requests import request_id_of, several
from commontrace.v1 import trace_pb2, trace_service_pb2

OnDuplicate = Literal["return_existing", "reject", "allow"]


class TraceWriting(Calls):
    """Calls that contribute, edit and delete traces.

    Each takes a `request_id` (a UUID), one of its own if none is given: calls with the same one are carried out once.
    """

    async def contribute(
        self,
        title: str,
        context: str,
        solution: str,
        *,
        tags: Iterable[str] = (),
        agent_model: str = "",
        agent_version: str = "",
        metadata: Mapping[str, Any] | None = None,
        on_duplicate: OnDuplicate = "return_existing",
        supersedes: str | UUID | None = None,
        validate_only: bool = False,
        request_id: str | UUID | None = None,
    ) -> trace_service_pb2.CreateTraceResponse:
        """Stores a trace, durable and searchable when this returns, unless one with the same content is there already.

        While the server cannot encode text in time, the trace is stored with the `embedding_state` PENDING, without
        tokens and `similar`; searches find it when the server has encoded it. `supersedes` is the id of an own trace
        that the new one replaces. Raises TypeError if `tags` is one string.
        """
        request = trace_service_pb2.CreateTraceRequest(
            title=title,
            context=context,
            solution=solution,
            tags=several("tags", tags),
            agent_model=agent_model,
            agent_version=agent_version,
            on_duplicate=trace_pb2.OnDuplicate.Value(f"ON_DUPLICATE_{on_duplicate.upper()}"),
            supersedes_trace_id="" if supersedes is None else str(supersedes),
            validate_only=validate_only,
            request_id=request_id_of(request_id),
        )
        if metadata:
            request.metadata.update(dict(metadata))
        return await self._call(self._traces.CreateTrace, request)

    async def update(
        self,
        trace_id: str | UUID,
        *,
        title: str | None = None,
        context: str | None = None,
        solution: str | None = None,
        tags: Iterable[str] | None = None,
        agent_model: str | None = None,
        agent_version: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        etag: str | None = None,
        request_id: str | UUID | None = None,
    ) -> trace_service_pb2.UpdateTraceResponse:
        """Changes what is given of an own trace, each field as a whole; what is None stays as it is.

        While the server cannot encode a new text in time, the `embedding_state` is PENDING, and no search finds the
        trace until the server has encoded it. With `etag`, a trace that was edited since it was read stays as it is,
        and the call fails.
        """
        changes: dict[str, Any] = {
            "title": title,
            "context": context,
            "solution": solution,
            "tags": None if tags is None else several("tags", tags),
            "agent_model": agent_model,
            "agent_version": agent_version,
            "metadata": None if metadata is None else dict(metadata),
        }
        given = {name: value for name, value in changes.items() if value is not None}
        request = trace_service_pb2.UpdateTraceRequest(
            trace=trace_pb2.Trace(id=str(trace_id), **given),
            update_mask=FieldMask(paths=given),
            etag=etag or "",
            request_id=request_id_of(request_id),
        )
        return await self._call(self._traces.UpdateTrace, request)

    async def delete(
        self, trace_id: str | UUID, *, etag: str | None = None, request_id: str | UUID | None = None
    ) -> trace_pb2.Trace:
        """Deletes an own trace and returns it without context and solution; `undelete` brings it back."""
        request = trace_service_pb2.DeleteTraceRequest(
            trace_id=str(trace_id), etag=etag or "", request_id=request_id_of(request_id)
        )
        response = await self._call(self._traces.DeleteTrace, request)
        return response.trace

    async def undelete(self, trace_id: str | UUID, *, request_id: str | UUID | None = None) -> trace_pb2.Trace:
        """Brings an own trace back and returns it without context and solution."""
        request = trace_service_pb2.UndeleteTraceRequest(trace_id=str(trace_id), request_id=request_id_of(request_id))
        response = await self._call(self._traces.UndeleteTrace, request)
        return response.trace
