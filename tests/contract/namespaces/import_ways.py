"""Ways of the items of ImportTraces."""

from typing import Any
from uuid import uuid4

from commontrace.domain.namespaces.namespace import Role
from commontrace.v1 import trace_import_pb2, trace_record_pb2
from tests.contract.errors.error_row import IMPORT
from tests.contract.namespaces.seats import BOUND_TO_IT
from tests.contract.namespaces.way import End, Way
from tests.contract.namespaces.world import Subject


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
