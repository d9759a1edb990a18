"""Ways of the streams of TraceService: searches, imports, exports, watches."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from commontrace.domain.namespaces.namespace import Role
from commontrace.settings import INSTALLED_MODEL
from commontrace.v1 import trace_event_pb2, trace_export_pb2, trace_import_pb2, trace_record_pb2, vector_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.trace_filter_pb2 import TraceFilter
from tests.contract.errors.error_row import EXPORT, IMPORT, SEARCH, WATCH
from tests.contract.namespaces.seats import BOUND_TO_IT
from tests.contract.namespaces.trace_ways import lists
from tests.contract.namespaces.way import End, Way
from tests.contract.namespaces.world import Subject

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
        request=lambda subject, _: _search(subject, filter=TraceFilter(namespaces=[subject.namespace])),
        hidden="NAMESPACE_NOT_FOUND",
        shows=finds,
    ),
    *(
        Way(
            rpc=SEARCH,
            name=field,
            fields=(f"filter.{field}",),
            request=lambda subject, _, field=field: _search(  # type: ignore[misc]
                subject, text="a text", filter=TraceFilter(**{field: [subject.tag]})
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
        request=lambda subject, _: _search(subject, filter=TraceFilter(contributor_ids=[subject.author_id])),
        hidden="OK",
        shows=finds,
        compared_with="purged",
    ),
)


def _import(seed: str, *, namespace: str = "", **record: Any) -> trace_import_pb2.ImportTracesRequest:
    texts = {"title": f"Title {seed}", "context": f"Context {seed}", "solution": f"Solution {seed}"}
    item = trace_import_pb2.ImportItem(sequence=1, trace=trace_record_pb2.TraceRecord(**(texts | record)))
    return trace_import_pb2.ImportTracesRequest(import_id=str(uuid4()), items=[item], namespace=namespace)


def _record_in(subject: Subject) -> trace_import_pb2.ImportTracesRequest:
    request = _import(subject.word)
    request.items[0].trace.namespace = subject.namespace
    return request


IMPORTS = (
    Way(
        rpc=IMPORT,
        name="namespace of the stream",
        fields=("namespace",),
        request=lambda subject, _: _import(subject.word, namespace=subject.namespace),
        needed=Role.WRITER,
        hidden="NAMESPACE_NOT_FOUND",
    ),
    Way(
        rpc=IMPORT,
        name="namespace of the record",
        fields=("items.trace.namespace",),
        request=lambda subject, _: _record_in(subject),
        needed=Role.WRITER,
        hidden="NAMESPACE_NOT_FOUND",
        item=lambda response: response.results[0].error,
    ),
    Way(
        rpc=IMPORT,
        name="its id",
        fields=("items.trace.id",),
        request=lambda subject, _: _import(subject.word, id=subject.trace_id),
        # An oracle that the contract accepts, for callers with the scope `traces:import`.
        hidden="TRACE_ID_TAKEN",
        granted="TRACE_ID_TAKEN",
        item=lambda response: response.results[0].error,
        compared_with="",
    ),
    Way(
        rpc=IMPORT,
        name="its id and its texts",
        fields=("items.trace.id",),
        request=lambda subject, _: _import(subject.word, id=subject.trace_id, **subject.texts),
        hidden="TRACE_ID_TAKEN",
        granted="TRACE_ID_TAKEN",
        # There it is the same trace.
        by_seat={BOUND_TO_IT: End()},
        item=lambda response: response.results[0].error,
        compared_with="",
        sends_texts=True,
    ),
    Way(
        rpc=IMPORT,
        name="the same texts across a wall",
        fields=(),
        request=lambda subject, _: _import(subject.word, **subject.texts),
        hidden="OK",
        shows=lambda responses, _: responses[0].results[0].WhichOneof("outcome") != "created_trace_id",
        by_seat={BOUND_TO_IT: End()},
        item=lambda response: response.results[0].error,
        compared_with="",
        sends_texts=True,
    ),
    Way(
        rpc=IMPORT,
        name="superseded across a wall",
        fields=("items.trace.supersedes_trace_id",),
        subject="own",
        request=lambda subject, _: _import(subject.word, supersedes_trace_id=subject.trace_id),
        granted="TRACE_NOT_FOUND",
        by_seat={BOUND_TO_IT: End()},
        item=lambda response: response.results[0].supersedes_error,
    ),
    Way(
        rpc=IMPORT,
        name="its tag",
        fields=("items.trace.tags",),
        request=lambda subject, _: _import(str(uuid4()), tags=[subject.tag]),
        hidden="OK",
        item=lambda response: response.results[0].error,
    ),
)


def _export(**fields: Any) -> trace_export_pb2.ExportTracesRequest:
    trace_filter = TraceFilter(**fields) if fields else None
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
        request=lambda subject, _: _export(namespaces=[subject.namespace]),
        hidden="NAMESPACE_NOT_FOUND",
        shows=lists,
    ),
    *(
        Way(
            rpc=EXPORT,
            name=field,
            fields=(f"filter.{field}",),
            request=lambda subject, _, field=field: _export(**{field: [subject.tag]}),  # type: ignore[misc]
            hidden="OK",
            shows=None if field == "tags_none" else lists,
        )
        for field in ("tags_all", "tags_any", "tags_none")
    ),
    Way(
        rpc=EXPORT,
        name="contributor",
        fields=("filter.contributor_ids",),
        request=lambda subject, _: _export(contributor_ids=[subject.author_id]),
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
        request=lambda subject, _: trace_event_pb2.WatchTracesRequest(
            filter=TraceFilter(namespaces=[subject.namespace])
        ),
        hidden="NAMESPACE_NOT_FOUND",
    ),
    *(
        Way(
            rpc=WATCH,
            name=field,
            fields=(f"filter.{field}",),
            request=lambda subject, _, field=field: trace_event_pb2.WatchTracesRequest(  # type: ignore[misc]
                filter=TraceFilter(**{field: [subject.author_id if field == "contributor_ids" else subject.tag]})
            ),
            hidden="FIELD_NOT_ALLOWED",
            granted="FIELD_NOT_ALLOWED",
        )
        for field in ("tags_all", "tags_any", "tags_none", "contributor_ids")
    ),
)

STREAM_WAYS = (*SEARCHES, *IMPORTS, *EXPORTS, *WATCHES)
