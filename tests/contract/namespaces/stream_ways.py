"""Ways of the streams of TraceService that read: searches, exports, watches."""

from collections.abc import Sequence
from typing import Any

from commontrace.settings import INSTALLED_MODEL
from commontrace.v1 import trace_event_pb2, trace_export_pb2, vector_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.contract.errors.error_row import EXPORT, SEARCH, WATCH
from tests.contract.namespaces.trace_ways import lists
from tests.contract.namespaces.way import Way
from tests.contract.namespaces.world import Subject, tagged

_HITS = 1_000


def finds(responses: Sequence[Any], subject: Subject) -> bool:
    return any(hit.trace.id == subject.trace_id for response in responses for hit in response.hits)


def searches_tag(responses: Sequence[Any], subject: Subject) -> bool:
    return subject.tag not in responses[-1].summary.unknown_tags


def _search(subject: Subject, **fields: Any) -> pb.SearchTracesRequest:
    if not {"embedding", "trace_id"} & set(fields):
        fields = {"text": f"the {subject.word} stops with an error", **fields}
    return pb.SearchTracesRequest(**fields, limit=_HITS, batch_size=_HITS, exact=True)


def _vector(subject: Subject) -> vector_pb2.Vector:
    return vector_pb2.Vector(packed_f32=subject.vector, model_id=INSTALLED_MODEL)


SEARCHES = (
    Way(
        rpc=SEARCH,
        name="text",
        fields=(),
        request=lambda subject, _: _search(subject),
        hidden="OK",
        shows=finds,
        compared_with="purged",
    ),
    *(
        Way(
            rpc=SEARCH,
            name=f"text, {pb.Ranking.Name(ranking)}",
            fields=(),
            request=lambda subject, _, ranking=ranking: pb.SearchTracesRequest(  # type: ignore[misc]
                text=f"the {subject.word} stops with an error", limit=100, ranking=ranking, explain=True
            ),
            hidden="OK",
            shows=finds,
            compared_with="purged",
        )
        for ranking in (pb.RANKING_TRUST_WEIGHTED, pb.RANKING_HYBRID, pb.RANKING_BEST)
    ),
    Way(
        rpc=SEARCH,
        name="its vector",
        fields=(),
        request=lambda subject, _: _search(subject, embedding=_vector(subject), min_similarity=0.5),
        hidden="OK",
        shows=finds,
        compared_with="purged",
    ),
    Way(
        rpc=SEARCH,
        name="like it",
        fields=("trace_id",),
        request=lambda subject, _: _search(subject, trace_id=subject.trace_id),
    ),
    Way(
        rpc=SEARCH,
        name="namespace",
        fields=("filter.namespaces",),
        request=lambda subject, _: _search(subject, filter=tagged("namespaces", subject.namespace)),
        hidden="NAMESPACE_NOT_FOUND",
        shows=finds,
    ),
    *(
        Way(
            rpc=SEARCH,
            name=field,
            fields=(f"filter.{field}",),
            request=lambda subject, _, field=field: _search(  # type: ignore[misc]
                subject, text="a text", filter=tagged(field, subject.tag)
            ),
            hidden="OK",
            shows=searches_tag,
        )
        for field in ("tags_all", "tags_any", "tags_none")
    ),
    Way(
        rpc=SEARCH,
        name="contributor",
        fields=("filter.contributor_ids",),
        request=lambda subject, _: _search(subject, filter=tagged("contributor_ids", subject.author_id)),
        hidden="OK",
        shows=finds,
        compared_with="purged",
    ),
)


def _export(trace_filter: TraceFilter | None = None) -> trace_export_pb2.ExportTracesRequest:
    return trace_export_pb2.ExportTracesRequest(filter=trace_filter, include_embeddings=True, batch_size=500)


EXPORTS = (
    Way(
        rpc=EXPORT,
        name="all",
        fields=(),
        request=lambda _, __: _export(),
        hidden="OK",
        shows=lists,
        compared_with="purged",
    ),
    Way(
        rpc=EXPORT,
        name="namespace",
        fields=("filter.namespaces",),
        request=lambda subject, _: _export(tagged("namespaces", subject.namespace)),
        hidden="NAMESPACE_NOT_FOUND",
        shows=lists,
    ),
    *(
        Way(
            rpc=EXPORT,
            name=field,
            fields=(f"filter.{field}",),
            request=lambda subject, _, field=field: _export(tagged(field, subject.tag)),  # type: ignore[misc]
            hidden="OK",
            shows=None if field == "tags_none" else lists,
        )
        for field in ("tags_all", "tags_any", "tags_none")
    ),
    Way(
        rpc=EXPORT,
        name="contributor",
        fields=("filter.contributor_ids",),
        request=lambda subject, _: _export(tagged("contributor_ids", subject.author_id)),
        hidden="OK",
        shows=lists,
        compared_with="purged",
    ),
)

WATCHES = (
    Way(
        rpc=WATCH,
        name="namespace",
        fields=("filter.namespaces",),
        request=lambda subject, _: trace_event_pb2.WatchTracesRequest(filter=tagged("namespaces", subject.namespace)),
        hidden="NAMESPACE_NOT_FOUND",
    ),
    *(
        Way(
            rpc=WATCH,
            name=field,
            fields=(f"filter.{field}",),
            request=lambda subject, _, field=field: trace_event_pb2.WatchTracesRequest(  # type: ignore[misc]
                filter=tagged(field, subject.author_id if field == "contributor_ids" else subject.tag)
            ),
            hidden="FIELD_NOT_ALLOWED",
            granted="FIELD_NOT_ALLOWED",
        )
        for field in ("tags_all", "tags_any", "tags_none", "contributor_ids")
    ),
)

STREAM_WAYS = (*SEARCHES, *EXPORTS, *WATCHES)
