"""Ways to read and to contribute a trace: unary RPCs of TraceService."""

from collections.abc import Sequence
from typing import Any

from commontrace.domain.namespaces.namespace import Role
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.contract.errors.error_row import (
    BATCH_GET,
    CREATE,
    GET,
    INFO,
    LIST,
    REVISIONS,
)
from tests.contract.namespaces.seats import BOUND_TO_IT
from tests.contract.namespaces.way import End, Way
from tests.contract.namespaces.world import Subject, tagged

_PAGE = 500


def lists(responses: Sequence[Any], subject: Subject) -> bool:
    return any(subject.trace_id == trace.id for response in responses for trace in response.traces)


def knows_tag(responses: Sequence[Any], subject: Subject) -> bool:
    return subject.tag not in responses[-1].unknown_tags


def makes_new(responses: Sequence[Any], subject: Subject) -> bool:
    """Whether the answer tells of the subject, which has the same texts, in any field."""
    [response] = responses
    return response.WhichOneof("outcome") != "created" or subject.trace_id in str(response)


def texts(seed: str) -> dict[str, Any]:
    return {"title": f"Title {seed}", "context": f"Context {seed}", "solution": f"Solution {seed}"}


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
                filter=tagged(field, subject.tag), page_size=_PAGE
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
        request=lambda subject, _: pb.CreateTraceRequest(**texts(subject.word), namespace=subject.namespace),
        needed=Role.WRITER,
        hidden="NAMESPACE_NOT_FOUND",
    ),
    Way(
        rpc=CREATE,
        name="superseded across a wall",
        fields=("supersedes_trace_id",),
        subject="own",
        request=lambda subject, _: pb.CreateTraceRequest(**texts(subject.word), supersedes_trace_id=subject.trace_id),
        # In `commons`, where nobody's trace of another namespace is, or in the one that the key is bound to.
        granted="TRACE_NOT_FOUND",
        by_seat={BOUND_TO_IT: End()},
    ),
    Way(
        rpc=CREATE,
        name="superseded in its namespace",
        fields=("supersedes_trace_id",),
        request=lambda subject, _: pb.CreateTraceRequest(
            **texts(subject.word), supersedes_trace_id=subject.trace_id, namespace=subject.namespace
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
        request=lambda subject, _: pb.CreateTraceRequest(**texts("of its tag"), tags=[subject.tag], validate_only=True),
        hidden="OK",
    ),
)
