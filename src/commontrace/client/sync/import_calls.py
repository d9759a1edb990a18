# Generated from the asynchronous client by `make generate`. Do not edit.
"""Bulk import of traces: ImportTraces."""

from collections.abc import Generator
from contextlib import closing
from functools import partial
from uuid import UUID

from commontrace.client.requests import request_id_of
from commontrace.client.streams.import_progress import ImportProgress, Record, record_of
from commontrace.client.sync.calls import Source, iterate
from commontrace.client.sync.import_stream import batch_records, import_responses, progress_question
from commontrace.client.sync.namespace_guard import NamespaceGuard
from commontrace.v1 import trace_import_pb2


class ImportCalls(NamespaceGuard):
    """Calls of the bulk import."""

    def import_traces(
        self, records: "Source[Record]", *, import_id: str | UUID | None = None, namespace: str = ""
    ) -> Generator[trace_import_pb2.ImportResult]:
        """Stores many traces, and yields the result of each, in order, once it is durable.

        `records` are `TraceRecord`s, which are numbered from 1, or `ImportItem`s with ascending sequences of their own;
        they are read as they are sent. The idempotency key of an item is the `import_id` (a UUID, by default a new one)
        with its sequence: an item that was stored before yields the same result again. The import resumes by itself
        where the connection breaks, and where the server restarts or is overloaded. It has no deadline as a whole, but
        fails where one response takes longer than the client's. An invalid item yields a result with its `error` set.
        With a `namespace`, all traces are stored there; without, each is stored in that of its record.
        """
        progress = ImportProgress(request_id_of(import_id), self._options, namespace=namespace)
        open_stream = partial(self._responses_without_deadline, self._traces.ImportTraces)
        guarded = self._guarded(records, namespace)
        with closing(import_responses(open_stream, batch_records(guarded, progress), progress)) as responses:
            for response in responses:
                yield from response.results

    def import_progress(self, import_id: str | UUID) -> trace_import_pb2.ImportTracesResponse:
        """Returns the progress of one of the caller's imports, which resumes after its `last_sequence`."""
        progress = ImportProgress(str(import_id), self._options)
        open_stream = partial(self._responses_without_deadline, self._traces.ImportTraces)
        answer = trace_import_pb2.ImportTracesResponse()
        for response in import_responses(open_stream, progress_question(progress), progress):
            answer = response
        return answer

    def _guarded(self, records: "Source[Record]", namespace: str) -> Generator[Record]:
        """Yields the records, none of which goes into a namespace that the server does not know."""
        for record in iterate(records):
            self._require_namespaces(namespace or record_of(record).namespace)
            yield record
