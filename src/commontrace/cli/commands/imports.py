"""The command that imports traces."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Literal
from uuid import UUID, uuid4

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.exit_codes import FAILED, TRY_AGAIN
from commontrace.cli.imports.import_run import ImportRun
from commontrace.cli.imports.json_lines import derive_import_id
from commontrace.cli.output.printing import fail, print_note
from commontrace.cli.output.progress import progress
from commontrace.cli.runtime.input_files import standard_input
from commontrace.cli.runtime.server_calls import Address, As, Json, call_server
from commontrace.plurals import counted


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
    wait: Annotated[
        bool, typer.Option("--wait", help="End when searches find every trace, those of earlier runs too.")
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
        derived_id, total = derive_import_id(source, on_duplicate) if can_be_read_again else (uuid4(), None)
        with progress("importing") as advance:
            run = ImportRun(
                source,
                import_id=given_id or derived_id,
                on_duplicate=on_duplicate,
                can_go_on=can_be_read_again or given_id is not None,
                # Only who sends a line learns which trace it is.
                again=again or wait,
                as_json=as_json,
                advance=lambda line: advance(line, total),
            )
            try:
                call_server(address, user, run.run)
            except BrokenPipeError:
                fail("nobody reads the output any more: what was stored stays, the same command goes on from there")
        with progress("encoding") as advance:
            call_server(address, user, lambda client: run.look(client, advance if wait else None))
    earlier = f"{run.created_before} in an earlier run, " if run.created_before else ""
    created = counted(run.created, "traces")
    summary = f"imported {created} ({earlier}{run.existing} were there already, {run.failed} failed)"
    if as_json:
        print_note(summary)
    else:
        print(summary)
    if run.failed_before:
        print_note(f"{run.failed_before} of them failed in an earlier run: --again tells why")
    _note_what_is_not_found(run, again=again or wait)
    if wait and run.imported.waiting:
        fail("none of them got its vector for a minute: `commontrace doctor` says why", TRY_AGAIN)
    if run.failed:
        raise SystemExit(FAILED)


def _note_what_is_not_found(run: ImportRun, *, again: bool) -> None:
    for line, trace_id in sorted(run.imported.deleted.items()):
        print_note(
            f"line {line}: its trace {trace_id} is gone: if you deleted it, `commontrace undelete` brings it back"
        )
    if run.created_before and not again:
        print_note("what of an earlier run was deleted since stays deleted: --again tells which")
    if run.imported.waiting:
        print_note(f"{run.imported.waiting} of them wait for their vectors: no search finds them yet (--wait waits)")


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield standard_input()
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
