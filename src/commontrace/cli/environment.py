"""Settings from the environment, and what every command that opens a database does with failures."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from commontrace.cli.output import fail

# Imported when a command needs them: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    from commontrace.settings import Settings


def read_settings() -> "Settings":
    """Returns the settings, or says which variable is wrong and ends."""
    from pydantic import ValidationError

    from commontrace.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        problems = [f"{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in error.errors()]
        fail("; ".join(problems).replace("Value error, ", ""))


def configure_logging(level: str) -> None:
    """Sends logs to standard error: for people on a terminal, one JSON object a line otherwise."""
    import structlog

    on_terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if on_terminal
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *([] if on_terminal else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


@contextmanager
def failures_explained() -> Iterator[None]:
    """Turns what keeps a database from being used into one sentence and exit code 1."""
    from commontrace.bootstrap import NotReady
    from commontrace.core.errors import CommonTraceError, DatabaseUnavailable
    from commontrace.embeddings.embedder import EmbedderUnavailable, ModelNotUsable
    from commontrace.storage.embedded import DataDirectoryInUse, EmbeddedPostgresFailed
    from commontrace.storage.migrating import MigrationLocked

    try:
        yield
    except DatabaseUnavailable as error:
        cause = _first_cause(error)
        fail(f"{error}: {str(cause) or type(cause).__name__}")
    except (
        CommonTraceError,
        DataDirectoryInUse,
        EmbedderUnavailable,
        EmbeddedPostgresFailed,
        MigrationLocked,
        ModelNotUsable,
        NotReady,
    ) as error:
        fail(str(error))


def _first_cause(error: BaseException) -> BaseException:
    return error if error.__cause__ is None else _first_cause(error.__cause__)
