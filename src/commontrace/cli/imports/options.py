"""Options that `import` and `bulk-import` share."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from commontrace.cli.imports.target import ImportTarget
from commontrace.cli.output.enum_labels import OnDuplicate
from commontrace.cli.runtime.namespaces import is_from_environment, parse_maps, require_one_name
from commontrace.cli.runtime.short_ids import parse_uuid

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A file with one JSON object a line, as `commontrace export` writes it; - reads standard input.",
        show_default=False,
    ),
]
IfDuplicate = Annotated[
    OnDuplicate | None,
    typer.Option(help="What to do about traces that are there already; without it, what each line says."),
]
GivenId = Annotated[
    str | None,
    typer.Option(metavar="UUID", help="The import to go on with; without it, one that follows from the file."),
]
Again = Annotated[
    bool, typer.Option("--again", help="Send every line again: what is stored stays, what failed is tried anew.")
]


def given_import_id(import_id: str | None) -> UUID | None:
    """Returns the id that was given, None without one. Raises typer.BadParameter."""
    return None if import_id is None else parse_uuid(import_id, f"--import-id must be a UUID, not {import_id!r}")


def import_target(invocation: typer.Context, namespace: str, maps: list[str]) -> ImportTarget:
    """Returns the namespaces that traces are stored in; --map wins over the environment. Raises typer.BadParameter."""
    if not maps:
        return ImportTarget(namespace=require_one_name(namespace))
    if namespace and not is_from_environment(invocation, "namespace"):
        raise typer.BadParameter("give either --namespace or --map")
    return ImportTarget(renamed=parse_maps(maps))
