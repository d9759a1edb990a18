"""Ways to change a trace: unary RPCs of TraceService."""

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.domain.namespaces.namespace import COMMONS, Role
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.contract.errors.error_row import (
    DELETE,
    HIDE,
    PURGE,
    UNDELETE,
    UNHIDE,
    UPDATE,
)
from tests.contract.namespaces.seats import BOUND_ADMIN, BOUND_TO_ANOTHER, BOUND_TO_IT
from tests.contract.namespaces.way import End, Way
from tests.contract.namespaces.world import Subject

PROMOTE = "/commontrace.v1.TraceService/PromoteTrace"
_NO_COMMONS = End(reason="NAMESPACE_NOT_FOUND", metadata={"namespace": COMMONS})


def _edit(subject: Subject, paths: list[str], **values: Any) -> pb.UpdateTraceRequest:
    values = {"id": subject.trace_id, "agent_model": "a-model", **values}
    return pb.UpdateTraceRequest(trace=trace_pb2.Trace(**values), update_mask=FieldMask(paths=paths))


CHANGES = (
    Way(
        rpc=UPDATE,
        name="another's",
        fields=("trace.id",),
        request=lambda subject, _: _edit(subject, ["agent_model"]),
        needed=Role.WRITER,
        granted="NOT_OWNER",
    ),
    Way(
        rpc=UPDATE,
        name="the caller's own, with its tag",
        fields=("trace.id", "trace.tags"),
        subject="own",
        request=lambda subject, _: _edit(subject, ["tags"], tags=[subject.tag]),
        needed=Role.WRITER,
    ),
    Way(
        rpc=UPDATE,
        name="another namespace",
        fields=("trace.namespace", "update_mask"),
        subject="own",
        request=lambda subject, _: _edit(subject, ["namespace"], namespace=COMMONS),
        hidden="INVALID_FIELD_MASK",
        granted="INVALID_FIELD_MASK",
    ),
    Way(
        rpc=DELETE,
        name="another's",
        fields=("trace_id",),
        request=lambda subject, _: pb.DeleteTraceRequest(trace_id=subject.trace_id),
        needed=Role.WRITER,
        granted="NOT_OWNER",
    ),
    Way(
        rpc=DELETE,
        name="the caller's own",
        fields=("trace_id",),
        subject="own",
        request=lambda subject, _: pb.DeleteTraceRequest(trace_id=subject.trace_id),
        needed=Role.WRITER,
    ),
    Way(
        rpc=UNDELETE,
        name="another's",
        fields=("trace_id",),
        subject="deleted",
        request=lambda subject, _: pb.UndeleteTraceRequest(trace_id=subject.trace_id),
        needed=Role.WRITER,
        granted="NOT_OWNER",
    ),
    Way(
        rpc=UNDELETE,
        name="the caller's own",
        fields=("trace_id",),
        subject="own deleted",
        request=lambda subject, _: pb.UndeleteTraceRequest(trace_id=subject.trace_id),
        needed=Role.WRITER,
    ),
    Way(
        rpc=HIDE,
        name="id",
        fields=("trace_id",),
        request=lambda subject, _: pb.HideTraceRequest(trace_id=subject.trace_id, reason="a reason"),
        needed=Role.MODERATOR,
    ),
    Way(
        rpc=HIDE,
        name="a deleted one",
        fields=("trace_id",),
        subject="deleted",
        request=lambda subject, _: pb.HideTraceRequest(trace_id=subject.trace_id, reason="a reason"),
        needed=Role.MODERATOR,
    ),
    Way(
        rpc=UNHIDE,
        name="id",
        fields=("trace_id",),
        subject="hidden",
        request=lambda subject, _: pb.UnhideTraceRequest(trace_id=subject.trace_id),
        needed=Role.MODERATOR,
    ),
    Way(
        rpc=PURGE,
        name="id",
        fields=("trace_id",),
        request=lambda subject, _: pb.PurgeTraceRequest(trace_id=subject.trace_id),
        needed=Role.MODERATOR,
    ),
    Way(
        rpc=PROMOTE,
        name="id",
        fields=("trace_id",),
        request=lambda subject, _: pb.PromoteTraceRequest(trace_id=subject.trace_id, to_namespace=COMMONS),
        by_seat=dict.fromkeys((BOUND_TO_IT, BOUND_TO_ANOTHER, BOUND_ADMIN), _NO_COMMONS),
    ),
    Way(
        rpc=PROMOTE,
        name="into its namespace",
        fields=("to_namespace",),
        in_namespace=COMMONS,
        request=lambda subject, _: pb.PromoteTraceRequest(trace_id=subject.trace_id, to_namespace=subject.namespace),
        needed=Role.WRITER,
        hidden="NAMESPACE_NOT_FOUND",
        by_seat={BOUND_TO_IT: End(reason="TRACE_NOT_FOUND")},
    ),
)
