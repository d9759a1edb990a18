# Generated from the asynchronous client by `make generate`. Do not edit.
"""Writes of traces: calls that contribute, update, delete and undelete."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.client.requests import reject_single_string, request_id_of
from commontrace.client.sync.namespace_guard import NamespaceGuard
from commontrace.v1 import trace_pb2, trace_service_pb2

OnDuplicate = Literal["return_existing", "reject", "allow"]


class WriteCalls(NamespaceGuard):
    """Calls that change the caller's own traces.

    Each takes a `request_id` (a UUID, by default a new one), its idempotency key.
    """

    def contribute(
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
        namespace: str = "",
        request_id: str | UUID | None = None,
    ) -> trace_service_pb2.CreateTraceResponse:
        """Stores a trace, durable and searchable on return, unless one with the same content exists already.

        If the server cannot encode the text in time, the trace has the `embedding_state` PENDING, without token counts
        and `similar`; searches find it once it is encoded. `supersedes` is the id of the caller's trace that the new
        one replaces. An empty `namespace` stands for the only one that the API key is bound to, or for `commons`; a
        server that is too old for namespaces is sent nothing for another one. Raises TypeError if `tags` is a single
        string.
        """
        request = trace_service_pb2.CreateTraceRequest(
            title=title,
            context=context,
            solution=solution,
            tags=reject_single_string("tags", tags),
            agent_model=agent_model,
            agent_version=agent_version,
            on_duplicate=trace_pb2.OnDuplicate.Value(f"ON_DUPLICATE_{on_duplicate.upper()}"),
            supersedes_trace_id="" if supersedes is None else str(supersedes),
            validate_only=validate_only,
            namespace=namespace,
            request_id=request_id_of(request_id),
        )
        if metadata:
            request.metadata.update(dict(metadata))
        self._require_namespaces(namespace)
        return self._call(self._traces.CreateTrace, request)

    def update(
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
        """Updates the given fields of one of the caller's traces, each as a whole; None leaves a field unchanged.

        If the server cannot encode a new text in time, the `embedding_state` is PENDING, and searches find the trace
        once it is encoded. With `etag`, the call fails if the trace was edited since it was read.
        """
        changes: dict[str, Any] = {
            "title": title,
            "context": context,
            "solution": solution,
            "tags": None if tags is None else reject_single_string("tags", tags),
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
        return self._call(self._traces.UpdateTrace, request)

    def delete(
        self, trace_id: str | UUID, *, etag: str | None = None, request_id: str | UUID | None = None
    ) -> trace_pb2.Trace:
        """Deletes one of the caller's traces, until `undelete`, and returns it without context and solution."""
        request = trace_service_pb2.DeleteTraceRequest(
            trace_id=str(trace_id), etag=etag or "", request_id=request_id_of(request_id)
        )
        response = self._call(self._traces.DeleteTrace, request)
        return response.trace

    def undelete(self, trace_id: str | UUID, *, request_id: str | UUID | None = None) -> trace_pb2.Trace:
        """Restores one of the caller's deleted traces and returns it without context and solution."""
        request = trace_service_pb2.UndeleteTraceRequest(trace_id=str(trace_id), request_id=request_id_of(request_id))
        response = self._call(self._traces.UndeleteTrace, request)
        return response.trace
