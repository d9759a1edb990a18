"""Files that are complete as soon as they are there."""

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
    """Yields what to write to; when the block is left, the file has its name, and replaces one that had it before.

    Until then, it is a hidden neighbour whose name ends with `.part`, which an exception removes. `-` is standard
    output; that, a pipe or a device is written to directly.
    """
    if str(file) == "-":
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            fail("nobody reads the output any more: it is not complete")
        return
    try:
        # The file itself, not a link to it, is what changes.
        target = file.resolve()
        is_direct = target.exists() and not target.is_file()
        # Of a name that nobody else has: neither another process nor one that was killed.
        part = target if is_direct else target.with_name(f".{uuid4().hex}.part")
        output = part.open("wb" if is_direct else "xb")
    except (OSError, RuntimeError) as error:
        # RuntimeError: links in a circle.
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
