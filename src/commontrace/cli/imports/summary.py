"""Summary of an import, and notes on what is missing of it."""

from commontrace.cli.imports.import_run import ImportRun
from commontrace.cli.output.printing import print_note
from commontrace.plurals import counted


def print_summary(run: ImportRun, *, as_json: bool) -> None:
    """Prints how many traces were stored, there already, or failed."""
    earlier = f"{run.created_before} in an earlier run, " if run.created_before else ""
    created = counted(run.created, "traces")
    summary = f"imported {created} ({earlier}{run.existing} were there already, {run.failed} failed)"
    if as_json:
        print_note(summary)
    else:
        print(summary)
    if run.failed_before:
        print_note(f"{run.failed_before} of them failed in an earlier run: --again tells why")


def print_missing(run: ImportRun, *, again: bool) -> None:
    """Prints notes on traces of the import that were deleted since."""
    for line, trace_id in sorted(run.imported.deleted.items()):
        print_note(
            f"line {line}: its trace {trace_id} is gone: if you deleted it, `commontrace undelete` brings it back"
        )
    if run.created_before and not again:
        print_note("what of an earlier run was deleted since stays deleted: --again tells which")
