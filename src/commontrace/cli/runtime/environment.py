"""Server settings from the environment, logging, and failures of server commands as one-line messages."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TextIO, cast

from commontrace.cli.output.printing import fail
from commontrace.cli.output.value_errors import value_error_message

if TYPE_CHECKING:
    from structlog.typing import EventDict

    from commontrace.settings import Settings


class InvalidSettings(Exception):
    """Environment variables with invalid values. `problems` holds a message for each, which begins with its name."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load_settings() -> "Settings":
    """Returns the settings of the environment. Raises InvalidSettings."""
    from pydantic import ValidationError

    from commontrace.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSettings(
            [f"{str(problem['loc'][0]).upper()}: {value_error_message(problem)}" for problem in error.errors()]
        ) from None


def configure_logging(level: str, *, names_process: bool = False) -> None:
    """Sends logs to standard error: as text on a terminal, as one JSON object a line elsewhere.

    With `names_process`, every line holds the process id.
    """
    import structlog

    from commontrace.cli.output.tracebacks import traceback_without_messages

    on_terminal = sys.stderr.isatty()
    colors = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
        if on_terminal
        else structlog.processors.JSONRenderer()
    )
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        *([_add_pid] if names_process else []),
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.ExceptionRenderer(traceback_without_messages),
    ]
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        # Writes a line at once; `PrintLogger` writes its end by itself.
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    # Loggers of libraries: asyncio logs failed tasks, SQLAlchemy failed connections.
    others = logging.StreamHandler(cast("TextIO", _StandardError()))
    others.setFormatter(structlog.stdlib.ProcessorFormatter(renderer, foreign_pre_chain=[*processors, _first_line]))
    logging.basicConfig(handlers=[others], level=logging.WARNING, force=True)


def prepare_server_command(overrides: Mapping[str, object] | None = None, *, names_process: bool = False) -> "Settings":
    """Returns the settings, and configures logging by them; an invalid setting ends the command with its message.

    `overrides` replace settings of the environment.
    """
    try:
        settings = load_settings()
    except InvalidSettings as error:
        fail(str(error))
    settings = settings.model_copy(update=overrides or {})
    configure_logging(settings.log_level, names_process=names_process)
    return settings


def _add_pid(_logger: object, _method: str, event: "EventDict") -> "EventDict":
    return {**event, "pid": os.getpid()}


def _first_line(_logger: object, _method: str, event: "EventDict") -> "EventDict":
    # Further lines of asyncio hold the message of the failure, which may quote stored text (see tracebacks).
    return {**event, "event": str(event["event"]).partition("\n")[0]}


class _StandardError:
    """A stream to the current `sys.stderr`, which a progress bar replaces so that lines appear above it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@contextmanager
def explain_failures(on_failure: "Callable[[str], NoReturn]" = fail) -> Iterator[None]:
    """Passes the message of a failure of database, model or server to `on_failure`, which by default exits with 1."""
    from commontrace.domain.errors import CommonTraceError, DatabaseUnavailable, ModelReplaced, Overloaded
    from commontrace.embeddings.embedder import EmbedderUnavailable, ModelNotUsable
    from commontrace.serving.embedder_factory import settings_that_fit
    from commontrace.serving.not_ready import NotReady
    from commontrace.storage.embedded_postgres.instance import DataDirectoryInUse, EmbeddedPostgresFailed
    from commontrace.storage.error_advice import advice_for
    from commontrace.storage.migrations import MigrationLocked, MigrationRefused

    try:
        yield
    except (DatabaseUnavailable, MigrationRefused, Overloaded) as error:
        advice = advice_for(error, otherwise="")
        on_failure(f"{message_with_cause(error)}: {advice}" if advice else message_with_cause(error))
    except ModelReplaced as error:
        remedy = "" if error.current is None else f": start with {settings_that_fit(error.current)}"
        on_failure(f"{error}{remedy}")
    except (
        CommonTraceError,
        DataDirectoryInUse,
        EmbedderUnavailable,
        EmbeddedPostgresFailed,
        MigrationLocked,
        ModelNotUsable,
        NotReady,
    ) as error:
        on_failure(str(error))


def message_with_cause(error: BaseException) -> str:
    """Returns an error's message, with the first line of the driver's error that caused it, if any."""
    cause = _first_cause(error)
    # Further lines hold details, and hints of the driver for programmers.
    first_line = str(cause).partition("\n")[0]
    return str(error) if cause is error else f"{error}: {first_line or type(cause).__name__}"


def _first_cause(error: BaseException) -> BaseException:
    return error if error.__cause__ is None else _first_cause(error.__cause__)
