"""The command that imports traces."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal
from uuid import UUID, uuid4

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.calling import Address, As, Json, call
from commontrace.cli.exit_codes import FAILED
from commontrace.cli.import_lines import NoTrace, identified, lines, record
from commontrace.cli.output import json_line, note, one_line, printable
from commontrace.cli.progress import progress

# Imported when a command runs: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    from commontrace.client import Client
    from commontrace.v1 import trace_import_pb2

# How long the server may be silent, its restart included.
_PATIENCE_SECONDS = 60.0


def import_traces(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A file with one JSON object a line, as `commontrace export` writes it; - reads standard input.",
            show_default=False,
        ),
    ],
    *,
    on_duplicate: Annotated[
        Literal["return_existing", "reject", "allow"] | None,
        typer.Option(help="What to do about traces that are there already; without it, what each line says."),
    ] = None,
    import_id: Annotated[
        str | None,
        typer.Option(metavar="UUID", help="The import to go on with; without it, one that follows from the file."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Send every line again: what is stored stays, what failed is tried anew.")
    ] = False,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Store the traces of a file; go on where it stopped."""
    given_id = None if import_id is None else _uuid(import_id)
    with _opened(file) as source:
        # What comes through a pipe cannot be read twice.
        can_be_read_again = source.seekable()
        derived_id, total = identified(source, on_duplicate) if can_be_read_again else (uuid4(), None)
        with progress("importing") as advance:
            run = _Import(
                source,
                import_id=given_id or derived_id,
                on_duplicate=on_duplicate,
                can_go_on=can_be_read_again or given_id is not None,
                again=again,
                as_json=as_json,
                advance=lambda line: advance(line, total),
            )
            call(address, user, run.through)
    summary = f"imported {run.created} traces ({run.existing} were there already, {run.failed} failed)"
    if as_json:
        note(summary)
    else:
        print(summary)
    if run.failed_before:
        note(f"{run.failed_before} of them failed in an earlier run: --again tells why")
    if run.failed:
        raise SystemExit(FAILED)


class _Import:
    """One run of an import, and what became of the traces in this run and in those before it."""

    def __init__(
        self,
        source: BinaryIO,
        *,
        import_id: UUID,
        on_duplicate: str | None,
        can_go_on: bool,
        again: bool,
        as_json: bool,
        advance: Callable[[int], None],
    ) -> None:
        self.created = self.existing = self.failed = self.failed_before = 0
        self._source = source
        self._import_id = import_id
        self._on_duplicate = on_duplicate
        self._can_go_on = can_go_on
        self._again = again
        self._as_json = as_json
        self._advance = advance
        self._titles: dict[int, str] = {}
        """Of the traces on their way, by line."""

    async def through(self, client: "Client") -> None:
        """Imports everything that was not imported before."""
        from commontrace.client import CallFailed

        patient = client.within(_PATIENCE_SECONDS)
        before = await client.import_progress(self._import_id)
        last_line = 0 if self._again else before.last_sequence
        if last_line:
            self.created, self.existing = before.created_count, before.existing_count
        try:
            async for result in patient.import_traces(self._items(last_line), import_id=self._import_id):
                self._take(result)
        except CallFailed:
            if self._can_go_on:
                note("what was stored stays: the same command goes on where this one stopped")
            raise

    def _items(self, last_line: int) -> "Iterator[trace_import_pb2.ImportItem]":
        """Yields the lines behind the last one that was stored; of those before, only counts how many there are."""
        from commontrace.v1 import trace_import_pb2, trace_pb2

        stored = self.created + self.existing
        for line in lines(self._source):
            if line.number <= last_line:
                stored -= 1
                self.failed = self.failed_before = max(0, -stored)
                continue
            try:
                trace = record(line)
            except NoTrace as error:
                self._fail(line.number, str(error))
                continue
            if self._on_duplicate is not None:
                trace.on_duplicate = trace_pb2.OnDuplicate.Value(f"ON_DUPLICATE_{self._on_duplicate.upper()}")
            self._titles[line.number] = trace.title
            yield trace_import_pb2.ImportItem(sequence=line.number, trace=trace)

    def _take(self, result: "trace_import_pb2.ImportResult") -> None:
        title = self._titles.pop(result.sequence)
        self._advance(result.sequence)
        if result.HasField("error"):
            from commontrace.v1.error_reason_pb2 import ErrorReason

            reason = ErrorReason.Name(result.error.reason).removeprefix("ERROR_REASON_")
            self._fail(result.sequence, result.error.message, title=title, reason=reason)
            return
        is_new = bool(result.created_trace_id)
        self.created += is_new
        self.existing += not is_new
        if self._as_json:
            outcome = {"outcome": "created" if is_new else "existing"}
            trace_id = result.created_trace_id or result.existing_trace_id
            json_line({"line": result.sequence, **outcome, "trace_id": trace_id, "title": title})

    def _fail(self, line: int, problem: str, *, title: str = "", reason: str = "") -> None:
        self.failed += 1
        # One line each, however long what they quote is.
        note(f"line {line}: {one_line(title)}: {one_line(problem)}" if reason else f"line {line} {printable(problem)}")
        if self._as_json:
            json_line({"line": line, "outcome": "failed", "title": title, "reason": reason, "message": problem})


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    with source:
        yield source


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"--import-id must be a UUID, not {text!r}") from None
