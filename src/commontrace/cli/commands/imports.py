"""Bulk import of traces from a file: import (ADR 0018)."""

from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.exit_codes import FAILED, TRY_AGAIN
from commontrace.cli.imports.import_run import ImportRun
from commontrace.cli.imports.json_lines import derive_import_id
from commontrace.cli.imports.target import ImportTarget
from commontrace.cli.output.enum_labels import OnDuplicate
from commontrace.cli.output.printing import fail, print_note
from commontrace.cli.output.progress import progress
from commontrace.cli.runtime.input_files import open_input
from commontrace.cli.runtime.namespaces import (
    Maps,
    TargetOfAll,
    is_from_environment,
    parse_maps,
    require_one_name,
)
from commontrace.cli.runtime.server_calls import Address, As, Json, call_server
from commontrace.cli.runtime.short_ids import parse_uuid
from commontrace.plurals import counted


def import_traces(
    invocation: typer.Context,
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
        OnDuplicate | None,
        typer.Option(help="What to do about traces that are there already; without it, what each line says."),
    ] = None,
    namespace: TargetOfAll = "",
    maps: Maps = None,
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
    given_id = None if import_id is None else parse_uuid(import_id, f"--import-id must be a UUID, not {import_id!r}")
    target = _target(invocation, namespace, maps or [])
    with open_input(file) as source:
        # A pipe cannot be read twice, so no id can be derived from its content.
        is_seekable = source.seekable()
        derived_id, total = derive_import_id(source, on_duplicate, target) if is_seekable else (uuid4(), None)
        with progress("importing") as advance:
            run = ImportRun(
                source,
                import_id=given_id or derived_id,
                on_duplicate=on_duplicate,
                target=target,
                is_resumable=is_seekable or given_id is not None,
                # The server says which trace a line became only when the line is sent again.
                again=again or wait,
                as_json=as_json,
                advance=lambda line: advance(line, total),
            )
            try:
                call_server(address, user, run.run)
            except BrokenPipeError:
                fail("nobody reads the output any more: what was stored stays, the same command goes on from there")
        with progress("encoding") as advance:
            call_server(address, user, lambda client: run.check_encoded(client, advance if wait else None))
    earlier = f"{run.created_before} in an earlier run, " if run.created_before else ""
    created = counted(run.created, "traces")
    summary = f"imported {created} ({earlier}{run.existing} were there already, {run.failed} failed)"
    if as_json:
        print_note(summary)
    else:
        print(summary)
    if run.failed_before:
        print_note(f"{run.failed_before} of them failed in an earlier run: --again tells why")
    _print_missing(run, again=again or wait)
    if wait and run.imported.waiting:
        fail("none of them got its vector for a minute: `commontrace doctor` says why", TRY_AGAIN)
    if run.failed:
        raise SystemExit(FAILED)


def _target(invocation: typer.Context, namespace: str, maps: list[str]) -> ImportTarget:
    """Returns the namespaces that traces are stored in; --map wins over the environment. Raises typer.BadParameter."""
    if not maps:
        return ImportTarget(namespace=require_one_name(namespace))
    if namespace and not is_from_environment(invocation, "namespace"):
        raise typer.BadParameter("give either --namespace or --map")
    return ImportTarget(renamed=parse_maps(maps))


def _print_missing(run: ImportRun, *, again: bool) -> None:
    for line, trace_id in sorted(run.imported.deleted.items()):
        print_note(
            f"line {line}: its trace {trace_id} is gone: if you deleted it, `commontrace undelete` brings it back"
        )
    if run.created_before and not again:
        print_note("what of an earlier run was deleted since stays deleted: --again tells which")
    if run.imported.waiting:
        print_note(f"{run.imported.waiting} of them wait for their vectors: no search finds them yet (--wait waits)")
