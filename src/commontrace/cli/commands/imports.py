"""Bulk import of traces from a file: import (ADR 0018)."""

from typing import Annotated

import typer

from commontrace import DEFAULT_ADDRESS
from commontrace.cli.exit_codes import FAILED, TRY_AGAIN
from commontrace.cli.imports.import_run import ImportRun
from commontrace.cli.imports.options import Again, File, GivenId, IfDuplicate, given_import_id, import_target
from commontrace.cli.imports.summary import print_missing, print_summary
from commontrace.cli.output.printing import fail, print_note
from commontrace.cli.output.progress import progress
from commontrace.cli.runtime.input_files import open_input
from commontrace.cli.runtime.namespaces import Maps, TargetOfAll
from commontrace.cli.runtime.server_calls import Address, As, Json, call_server


def import_traces(
    invocation: typer.Context,
    file: File,
    *,
    on_duplicate: IfDuplicate = None,
    namespace: TargetOfAll = "",
    maps: Maps = None,
    import_id: GivenId = None,
    again: Again = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="End when searches find every trace, those of earlier runs too.")
    ] = False,
    address: Address = DEFAULT_ADDRESS,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Store the traces of a file; go on where it stopped."""
    given_id = given_import_id(import_id)
    target = import_target(invocation, namespace, maps or [])
    with open_input(file) as source:
        with progress("importing") as advance:
            run = ImportRun(
                source,
                given_id=given_id,
                on_duplicate=on_duplicate,
                target=target,
                # The server says which trace a line became only when the line is sent again.
                again=again or wait,
                as_json=as_json,
                advance=advance,
            )
            try:
                call_server(address, user, run.run)
            except BrokenPipeError:
                fail("nobody reads the output any more: what was stored stays, the same command goes on from there")
        with progress("encoding") as advance:
            call_server(address, user, lambda client: run.check_encoded(client, advance if wait else None))
    print_summary(run, as_json=as_json)
    print_missing(run, again=again or wait)
    if run.imported.waiting:
        print_note(f"{run.imported.waiting} of them wait for their vectors: no search finds them yet (--wait waits)")
    if wait and run.imported.waiting:
        fail("none of them got its vector for a minute: `commontrace doctor` says why", TRY_AGAIN)
    if run.failed:
        raise SystemExit(FAILED)
