"""Run of `commontrace import`: sends lines, prints and counts their results."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO
from uuid import UUID, uuid4

from commontrace.cli.imports.imported_traces import ImportedTraces
from commontrace.cli.imports.json_lines import derive_import_id, parse_record, read_lines
from commontrace.cli.imports.target import ImportTarget
from commontrace.cli.output.printing import one_line, print_json, print_note, printable
from commontrace.cli.runtime.json_input import InvalidInput

if TYPE_CHECKING:
    from commontrace.client import Client
    from commontrace.serving.bulk_importing import BulkImporter
    from commontrace.v1 import trace_import_pb2

# Deadline of one answer, in seconds: longer than a restart of the server.
_ANSWER_SECONDS = 60.0


class ImportRun:
    """Run of an import, which may resume earlier runs, and the counts of both.

    Without `given_id`, the id follows from the file, which is read to its end for that. With `again`, lines that are
    already stored are sent, too. `advance` takes the number of the last answered line, and that of all.
    """

    def __init__(
        self,
        source: BinaryIO,
        *,
        given_id: UUID | None,
        on_duplicate: str | None,
        target: ImportTarget,
        again: bool,
        as_json: bool,
        advance: Callable[[int, int | None], None],
    ) -> None:
        # A pipe cannot be read twice, so no id can be derived from its content.
        is_seekable = source.seekable()
        derived_id, total = derive_import_id(source, on_duplicate, target) if is_seekable else (uuid4(), None)
        self.import_id = given_id or derived_id
        self.total = total
        """Lines of the file, None for a pipe."""
        self.created = self.created_before = self.existing = self.failed = self.failed_before = 0
        self.imported = ImportedTraces()
        """Traces that may have no vector yet: sent without one, stored before, or duplicates."""
        self._source = source
        self._on_duplicate = on_duplicate
        self._target = target
        self._is_resumable = is_seekable or given_id is not None
        self._again = again
        self._as_json = as_json
        self._advance = advance
        self._last_line_before = 0
        """The last line that an earlier run stored."""
        self._in_flight: dict[int, tuple[str, bool]] = {}
        """Unanswered traces by line: the title, and True if the line has the vector."""

    async def run(self, client: "Client | BulkImporter") -> None:
        """Imports the lines that earlier runs have not stored. Raises what the client does."""
        from commontrace.client import CallFailed

        before = await client.import_progress(self.import_id)
        self._last_line_before = before.last_sequence
        last_line = 0 if self._again else before.last_sequence
        if last_line:
            self.created_before, self.existing = before.created_count, before.existing_count
        try:
            async for result in client.within(_ANSWER_SECONDS).import_traces(
                self._items(last_line), import_id=self.import_id, namespace=self._target.namespace
            ):
                self._handle(result)
            if self._again:
                # Results of an earlier run come again under the same import id; they are not new.
                self.created_before = min(before.created_count, self.created)
                self.created -= self.created_before
        except CallFailed:
            self.print_advice()
            raise

    def print_advice(self) -> None:
        """Prints after a failure that the import can be resumed, if it can."""
        if self._is_resumable:
            print_note("what was stored stays: the same command goes on where this one stopped")

    async def check_encoded(self, client: "Client", advance: "Callable[[int, int | None], None] | None") -> None:
        """Refreshes the imported traces without a vector; with `advance`, waits until all have one."""
        from commontrace.client import CallFailed

        try:
            await (self.imported.refresh(client) if advance is None else self.imported.wait(client, advance))
        except CallFailed as error:
            # Not a failure of the import: a key with only the scope traces:write may not read.
            self.imported = ImportedTraces()
            print_note(f"whether searches find them already cannot be told: {one_line(str(error))}")

    def _items(self, last_line: int) -> "Iterator[trace_import_pb2.ImportItem]":
        """Yields the traces after `last_line`, and counts the lines up to it, which earlier runs stored or failed."""
        from commontrace.v1 import trace_import_pb2, trace_pb2

        # Lines up to `last_line` that are not among the stored ones have failed.
        stored = self.created_before + self.existing
        for line in read_lines(self._source):
            if line.number <= last_line:
                stored -= 1
                self.failed = self.failed_before = max(0, -stored)
                continue
            try:
                trace = parse_record(line)
            except InvalidInput as error:
                self._fail(line.number, str(error))
                continue
            if self._on_duplicate is not None:
                trace.on_duplicate = trace_pb2.OnDuplicate.Value(f"ON_DUPLICATE_{self._on_duplicate.upper()}")
            trace.namespace = self._target.namespace_of(trace.namespace)
            self._in_flight[line.number] = trace.title, trace.HasField("embedding")
            yield trace_import_pb2.ImportItem(sequence=line.number, trace=trace)

    def _handle(self, result: "trace_import_pb2.ImportResult") -> None:
        title, has_vector = self._in_flight.pop(result.sequence)
        self._advance(result.sequence, self.total)
        if result.HasField("error"):
            from commontrace.v1.error_reason_pb2 import ErrorReason

            reason = ErrorReason.Name(result.error.reason).removeprefix("ERROR_REASON_")
            self._fail(result.sequence, result.error.message, title=title, reason=reason)
            return
        is_new = bool(result.created_trace_id)
        self.created += is_new
        self.existing += not is_new
        trace_id = result.created_trace_id or result.existing_trace_id
        if not (is_new and has_vector) or result.sequence <= self._last_line_before:
            self.imported.add(result.sequence, trace_id)
        unlinked = result.supersedes_error.message
        if unlinked:
            print_note(
                f"line {result.sequence}: {one_line(title)}: imported, and replaces nothing: {one_line(unlinked)}"
            )
        if self._as_json:
            outcome = {"outcome": "created" if is_new else "existing"}
            print_json(
                {"line": result.sequence, **outcome, "trace_id": trace_id, "title": title}
                | ({"supersedes_error": unlinked} if unlinked else {})
            )

    def _fail(self, line: int, problem: str, *, title: str = "", reason: str = "") -> None:
        self.failed += 1
        # One line for each failure, because messages may quote text of several.
        print_note(
            f"line {line}: {one_line(title)}: {one_line(problem)}" if reason else f"line {line} {printable(problem)}"
        )
        if self._as_json:
            print_json({"line": line, "outcome": "failed", "title": title, "reason": reason, "message": problem})
