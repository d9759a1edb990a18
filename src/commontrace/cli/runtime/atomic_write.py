"""Atomic file writes: a temporary file is renamed when it is complete."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import typer

from commontrace.cli.output.printing import fail


@contextmanager
def atomic_file(file: Path) -> Iterator[BinaryIO]:
    """Yields a stream whose content replaces the file when the block ends; an exception leaves the file as it was.

    Until then, the content is in a hidden `.part` file of the same directory. Standard output (`-`), pipes and devices
    are written to directly. Raises typer.BadParameter for a file that cannot be written.
    """
    if str(file) == "-":
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            fail("nobody reads the output any more: it is not complete")
        return
    try:
        # Replaces the target of a link, not the link.
        target = file.resolve()
        is_direct = target.exists() and not target.is_file()
        # A random name collides neither with another process nor with the rest of a killed one.
        part = target if is_direct else target.with_name(f".{uuid4().hex}.part")
        output = part.open("wb" if is_direct else "xb")
    except (OSError, RuntimeError) as error:
        # A RuntimeError is a loop of links.
        raise typer.BadParameter(f"{file} cannot be written: {getattr(error, 'strerror', error)}") from None
    try:
        with output:
            yield output
            output.flush()
            if not is_direct:
                os.fsync(output.fileno())
        if not is_direct:
            part.replace(target)
    except BaseException:
        if not is_direct:
            part.unlink(missing_ok=True)
        raise
