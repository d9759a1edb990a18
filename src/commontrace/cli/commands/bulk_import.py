"""Import of many traces into a database, with the vector index built afterwards: bulk-import (ADR 0063)."""

from typing import TYPE_CHECKING, Annotated

import typer

from commontrace.cli.exit_codes import FAILED
from commontrace.cli.imports.import_run import ImportRun
from commontrace.cli.imports.options import Again, File, GivenId, IfDuplicate, given_import_id, import_target
from commontrace.cli.imports.summary import print_missing, print_summary
from commontrace.cli.output.printing import fail, print_note
from commontrace.cli.output.progress import progress
from commontrace.cli.runtime.environment import explain_failures, prepare_server_command
from commontrace.cli.runtime.input_files import open_input
from commontrace.cli.runtime.namespaces import Maps, TargetOfAll
from commontrace.cli.runtime.server_calls import As, Json

if TYPE_CHECKING:
    from commontrace.domain.caller import Caller
    from commontrace.serving.bootstrap import Postgres
    from commontrace.settings import Settings


def bulk_import(
    invocation: typer.Context,
    file: File,
    *,
    on_duplicate: IfDuplicate = None,
    namespace: TargetOfAll = "",
    maps: Maps = None,
    import_id: GivenId = None,
    again: Again = False,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Build the vector index anew, even where no more traces come than are there."),
    ] = False,
    user: As = None,
    as_json: Json = False,
) -> None:
    """Store many traces at once, and index their vectors afterwards.

    For more traces than are there; with fewer, the index stays, as for import. Servers go on, and search by the signs
    of vectors until the index is built. Broken off at any point, the same command goes on from there.
    """
    import asyncio

    from commontrace.serving import bootstrap

    caller = _caller(user)
    given_id = given_import_id(import_id)
    target = import_target(invocation, namespace, maps or [])
    settings = prepare_server_command()
    with (
        open_input(file) as source,
        explain_failures(),
        bootstrap.postgres(settings, attach=True) as where,
        progress("importing") as advance,
    ):
        run = ImportRun(
            source,
            given_id=given_id,
            on_duplicate=on_duplicate,
            target=target,
            again=again,
            as_json=as_json,
            advance=advance,
        )
        try:
            waiting = asyncio.run(_store(run, caller, where, settings, rebuilds=rebuild))
        except BrokenPipeError:
            fail("nobody reads the output any more: what was stored stays, the same command goes on from there")
    print_summary(run, as_json=as_json)
    print_missing(run, again=again)
    if waiting:
        print_note(f"{waiting} traces of the database wait for their vectors: no search finds them yet")
    if run.failed:
        raise SystemExit(FAILED)


async def _store(run: ImportRun, caller: "Caller", where: "Postgres", settings: "Settings", *, rebuilds: bool) -> int:
    """Stores the traces, and returns how many of the database wait for their vectors."""
    from commontrace.core.imports.bulk_import import without_vector_index
    from commontrace.domain.errors import CommonTraceError
    from commontrace.serving import bootstrap
    from commontrace.serving.bulk_importing import bulk_importer

    async with bootstrap.bulk_loading(where) as loading, bulk_importer(where, settings, caller) as importer:
        before = await importer.import_progress(run.import_id)
        new_count = None if run.total is None else run.total - before.created_count - before.existing_count
        try:
            async with without_vector_index(loading, new_count=new_count, is_forced=rebuilds) as is_absent:
                importer.has_index = not is_absent
                await run.run(importer)
        except CommonTraceError:
            run.print_advice()
            raise
        return await importer.count_waiting()


def _caller(user: str | None) -> "Caller":
    """Returns the user whose traces they become. Raises typer.BadParameter."""
    from commontrace import USER_METADATA
    from commontrace.domain.caller import LOCAL_EMAIL, Caller, claim_address
    from commontrace.domain.errors import InvalidUser, UserReserved

    try:
        return Caller(email=LOCAL_EMAIL) if user is None else claim_address(user)
    except (InvalidUser, UserReserved) as error:
        raise typer.BadParameter(str(error).replace(USER_METADATA, "--as")) from None
