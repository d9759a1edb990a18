"""`commontrace` in this process, for tests of what a command says: a process of its own imports for a second.

The command has the arguments, environment and standard streams that a process of its own would have, and leaves nothing
behind. Different is what gRPC's C core writes: it goes to this process's standard error.
"""

import contextvars
import io
import logging
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, TextIO
from unittest.mock import patch

import structlog

from commontrace.cli import main
from tests.faults.server_process import environment

_INTERRUPTED = 128 + signal.SIGINT


def run_in_process(place: Path, *arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Does what `run_command` does, and raises what no command expects instead of printing its traceback."""
    given, output, message = _Pipe(stdin.encode("utf-8", "surrogateescape")), _Pipe(), _Pipe()
    # As Python opens them in the C locale, which is that of a process without LANG.
    streams = (
        io.TextIOWrapper(given, "utf-8", "surrogateescape"),
        io.TextIOWrapper(output, "utf-8", "surrogateescape", write_through=True),
        io.TextIOWrapper(message, "utf-8", "backslashreplace", write_through=True),
    )
    code = _run(environment(place, **settings), arguments, streams)
    return subprocess.CompletedProcess(arguments, code, output.text(), message.text())


def run_on_terminal(place: Path, *arguments: str, **settings: str) -> str:
    """Returns what a terminal gets to see."""
    with terminal() as (descriptor, shown):
        stdin, stdout, stderr = (
            open(os.dup(descriptor), mode, encoding="utf-8")  # noqa: PTH123, SIM115 - a descriptor, closed below
            for mode in ("r", "w", "w")
        )
        with stdin, stdout, stderr:
            _run(environment(place, **settings), arguments, (stdin, stdout, stderr))
    return shown.decode()


@contextmanager
def terminal() -> Iterator[tuple[int, bytearray]]:
    """Yields the descriptor of a terminal and what it shows, which is complete when the block is left."""
    screen, descriptor = pty.openpty()
    shown = bytearray()

    def read() -> None:
        # An OSError is how Linux says that nobody has the terminal open any more.
        with suppress(OSError):
            while chunk := os.read(screen, 65536):
                shown.extend(chunk)

    # A terminal holds 4 KiB that nobody has read.
    reader = Thread(target=read)
    reader.start()
    try:
        yield descriptor, shown
    finally:
        os.close(descriptor)
        reader.join()
        os.close(screen)


class _Pipe(io.BytesIO):
    """Bytes that cannot be read twice."""

    def seekable(self) -> bool:
        return False

    def text(self) -> str:
        return self.getvalue().decode("utf-8", "surrogateescape")


def _run(variables: dict[str, str], arguments: tuple[str, ...], streams: tuple[TextIO, TextIO, TextIO]) -> int:
    """Returns the exit code."""
    stdin, stdout, stderr = streams
    with (
        _logging_as_before(),
        patch.dict(os.environ, variables, clear=True),
        patch.object(sys, "argv", ["commontrace", *(os.fsdecode(os.fsencode(argument)) for argument in arguments)]),
        patch.object(sys, "stdin", stdin),
        patch.object(sys, "stdout", stdout),
        patch.object(sys, "stderr", stderr),
    ):
        try:
            # What it remembers in context variables ends with it.
            contextvars.copy_context().run(main)
        except SystemExit as ended:
            # Ctrl-C is for whoever runs the tests.
            if ended.code == _INTERRUPTED:
                raise KeyboardInterrupt from None
            return int(ended.code or 0)
    return 0


@contextmanager
def _logging_as_before() -> Iterator[None]:
    """Commands say where logs go. Loggers of this process must not remember it."""
    root, structured, configure = logging.getLogger(), structlog.get_config(), structlog.configure
    handlers, level = root.handlers[:], root.level

    def configure_for_now(**settings: Any) -> None:
        configure(**settings | {"cache_logger_on_first_use": False})

    # Before logging.basicConfig closes them.
    root.handlers.clear()
    try:
        with patch.object(structlog, "configure", configure_for_now):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        configure(**structured)
