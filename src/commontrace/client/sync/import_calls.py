# Generated from the asynchronous client by `make generate`. Do not edit.
"""Calls that import traces."""

from collections.abc import Generator
from contextlib import closing
from functools import partial
from uuid import UUID

from commontrace.client.requests import request_id_of
from commontrace.client.streams.import_progress import ImportProgress, Record
from commontrace.client.sync.calls import Calls, Source
from commontrace.client.sync.import_stream import answers, gathered, question
from commontrace.v1 import trace_import_pb2


class TraceImporting(Calls):
    """Calls that import traces."""

    def import_traces(
        self, records: "Source[Record]", *, import_id: str | UUID | None = None
    ) -> Generator[trace_import_pb2.ImportResult]:
        """Stores many traces, and yields what became of each, in order, when that is durable.

        `records` are `TraceRecord`s, which count from 1 on, or `ImportItem`s with ascending sequences of their own;
        they are read as they are sent. Each is carried out once for each `import_id` (a UUID, one of its own if none is
        given) and sequence: what was stored before yields the same result again. Where the connection breaks, or the
        server restarts or is overloaded, the import goes on by itself; it has no deadline as a whole, but fails where
        one answer takes longer than the client's. What fails of itself is one result among others, its `error` set.
        """
        progress = ImportProgress(request_id_of(import_id), self._options)
        open_stream = partial(self._lasting_responses, self._traces.ImportTraces)
        with closing(answers(open_stream, gathered(records, progress), progress)) as responses:
            for response in responses:
                yield from response.results

    def import_progress(self, import_id: str | UUID) -> trace_import_pb2.ImportTracesResponse:
        """Returns how far an import of the caller's has come: go on behind its `last_sequence`."""
        progress = ImportProgress(str(import_id), self._options)
        open_stream = partial(self._lasting_responses, self._traces.ImportTraces)
        answer = trace_import_pb2.ImportTracesResponse()
        for response in answers(open_stream, question(progress), progress):
            answer = response
        return answer
