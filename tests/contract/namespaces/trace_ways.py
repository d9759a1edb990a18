"""Ways of the unary RPCs of TraceService."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.domain.namespaces.namespace import COMMONS, Role
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.contract.errors.error_row import (
    BATCH_GET,
    CREATE,
    DELETE,
    GET,
    HIDE,
    INFO,
    LIST,
    PURGE,
    REVISIONS,
    UNDELETE,
    UNHIDE,
    UPDATE,
)
from tests.contract.namespaces.seats import BOUND_ADMIN, BOUND_TO_ANOTHER, BOUND_TO_IT
from tests.contract.namespaces.way import End, Way
from tests.contract.namespaces.world import Subject

PROMOTE = "/commontrace.v1.TraceService/PromoteTrace"
_PAGE = 500
_NO_COMMONS = End(reason="NAMESPACE_NOT_FOUND", metadata={"namespace": COMMONS})


def lists(responses: Sequence[Any], subject: Subject) -> bool:
    return any(subject.trace_id == trace.id for response in responses for trace in response.traces)


def knows_tag(responses: Sequence[Any], subject: Subject) -> bool:
    return subject.tag not in responses[-1].unknown_tags


def makes_new(responses: Sequence[Any], subject: Subject) -> bool:
    """Whether the answer tells of the subject, which has the same texts, in any field."""
    [response] = responses
    return response.WhichOneof("outcome") != "created" or subject.trace_id in str(response)


def _texts(seed: str) -> dict[str, str]:
    return {"title": f"Title {seed}", "context": f"Context {seed}", "solution": f"Solution {seed}"}


def _edit(subject: Subject, paths: list[str], **values: Any) -> pb.UpdateTraceRequest:
    values = {"id": subject.trace_id, "agent_model": "a-model", **values}
    return pb.UpdateTraceRequest(trace=trace_pb2.Trace(**values), update_mask=FieldMask(paths=paths))


READS = (
    Way(
        rpc=GET,
        name="id",
        fields=("trace_id",),
        request=lambda subject, _: pb.GetTraceRequest(trace_id=subject.trace_id),
    ),
    Way(
        rpc=BATCH_GET,
        name="id",
        fields=("trace_ids",),
        request=lambda subject, _: pb.BatchGetTracesRequest(trace_ids=[subject.trace_id]),
        item=lambda response: response.items[0].error,
    ),
    Way(
        rpc=LIST,
        name="all",
        fields=(),
        request=lambda _, __: pb.ListTracesRequest(page_size=_PAGE),
        hidden="OK",
        shows=lists,
        compared_with="purged",
    ),
    Way(
        rpc=LIST,
        name="namespace",
        fields=("filter.namespaces",),
        request=lambda subject, _: pb.ListTracesRequest(
            filter=TraceFilter(namespaces=[subject.namespace]), page_size=_PAGE
        ),
        hidden="NAMESPACE_NOT_FOUND",
        shows=lists,
    ),
    *(
        Way(
            rpc=LIST,
            name=field,
            fields=(f"filter.{field}",),
            request=lambda subject, _, field=field: pb.ListTracesRequest(  # type: ignore[misc]
                filter=TraceFilter(**{field: [subject.tag]}), page_size=_PAGE
            ),
            hidden="OK",
            shows=knows_tag,
        )
        for field in ("tags_all", "tags_any", "tags_none")
    ),
    Way(
        rpc=LIST,
        name="contributor",
        fields=("filter.contributor_ids",),
        request=lambda subject, _: pb.ListTracesRequest(
            filter=TraceFilter(contributor_ids=[subject.author_id]), page_size=_PAGE
        ),
        hidden="OK",
        shows=lists,
        compared_with="purged",
    ),
    Way(
        rpc=LIST,
        name="own deleted ones",
        fields=(),
        subject="own deleted",
        request=lambda _, __: pb.ListTracesRequest(show_deleted=True, page_size=_PAGE),
        hidden="OK",
        shows=lists,
        compared_with="purged",
    ),
    Way(
        rpc=REVISIONS,
        name="id",
        fields=("trace_id",),
        request=lambda subject, _: pb.ListTraceRevisionsRequest(trace_id=subject.trace_id),
    ),
    Way(
        rpc=INFO,
        name="nothing",
        fields=(),
        request=lambda _, __: pb.GetServiceInfoRequest(),
        hidden="OK",
        compared_with="purged",
    ),
)

CREATIONS = (
    Way(
        rpc=CREATE,
        name="namespace",
        fields=("namespace",),
        request=lambda subject, _: pb.CreateTraceRequest(**_texts(subject.word), namespace=subject.namespace),
        needed=Role.WRITER,
        hidden="NAMESPACE_NOT_FOUND",
    ),
    Way(
        rpc=CREATE,
        name="superseded across a wall",
        fields=("supersedes_trace_id",),
        subject="own",
        request=lambda subject, _: pb.CreateTraceRequest(**_texts(subject.word), supersedes_trace_id=subject.trace_id),
        # In `commons`, where nobody's trace of another namespace is, or in the one that the key is bound to.
        granted="TRACE_NOT_FOUND",
        by_seat={BOUND_TO_IT: End()},
    ),
    Way(
        rpc=CREATE,
        name="superseded in its namespace",
        fields=("supersedes_trace_id",),
        request=lambda subject, _: pb.CreateTraceRequest(
            **_texts(subject.word), supersedes_trace_id=subject.trace_id, namespace=subject.namespace
        ),
        needed=Role.WRITER,
        hidden="NAMESPACE_NOT_FOUND",
        granted="NOT_OWNER",
    ),
    Way(
        rpc=CREATE,
        name="the same texts across a wall",
        fields=(),
        request=lambda subject, _: pb.CreateTraceRequest(**subject.texts, on_duplicate=trace_pb2.ON_DUPLICATE_REJECT),
        hidden="OK",
        by_seat={BOUND_TO_IT: End(reason="DUPLICATE_TRACE")},
        shows=makes_new,
        compared_with="",
        sends_texts=True,
    ),
    Way(
        rpc=CREATE,
        name="its tag",
        fields=("tags",),
        request=lambda subject, _: pb.CreateTraceRequest(
            **_texts("of its tag"), tags=[subject.tag], validate_only=True
        ),
        hidden="OK",
    ),
)

EDITS = (
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

TRACE_WAYS = (*READS, *CREATIONS, *EDITS)
