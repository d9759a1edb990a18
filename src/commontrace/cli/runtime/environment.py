"""Settings from the environment, and what every command that opens a database does with failures."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

from commontrace.cli.output.printing import fail

# Imported when a command needs them: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    from structlog.typing import EventDict

    from commontrace.settings import Settings


class SettingsWrong(Exception):
    """The environment holds values that no setting takes. `problems` names each variable and what is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def settings_from_environment() -> "Settings":
    """Returns the settings. Raises SettingsWrong."""
    from pydantic import ValidationError

    from commontrace.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        raise SettingsWrong(
            [
                f"{str(problem['loc'][0]).upper()}: {_said(problem['type'], problem['msg'], problem.get('ctx', {}))}"
                for problem in error.errors()
            ]
        ) from None


# By Pydantic's type of error; what is filled in is its context.
_WORDS = {
    "literal_error": "must be {expected}",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_unicode": "must be UTF-8 text",
}


def _said(kind: str, message: str, context: Mapping[str, Any]) -> str:
    """Returns what is wrong with a setting, without its value, which may be a secret."""
    words = _WORDS.get(kind)
    return message.removeprefix("Value error, ") if words is None else words.format(**context)


def read_settings() -> "Settings":
    """Returns the settings, or says which variable is wrong and ends."""
    try:
        return settings_from_environment()
    except SettingsWrong as error:
        fail(str(error))


def configure_logging(level: str, *, names_process: bool = False) -> None:
    """Sends logs to standard error: for people on a terminal, one JSON object a line otherwise.

    With `names_process`, every line says which process wrote it.
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
        logger_factory=structlog.PrintLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    # What libraries say: asyncio of tasks that failed, SQLAlchemy of connections that did.
    others = logging.StreamHandler(cast("TextIO", _StandardError()))
    others.setFormatter(structlog.stdlib.ProcessorFormatter(renderer, foreign_pre_chain=[*processors, _first_line]))
    logging.basicConfig(handlers=[others], level=logging.WARNING, force=True)


def _add_pid(_logger: object, _method: str, event: "EventDict") -> "EventDict":
    return {**event, "pid": os.getpid()}


def _first_line(_logger: object, _method: str, event: "EventDict") -> "EventDict":
    # The next ones of asyncio show the task and what its failure said.
    return {**event, "event": str(event["event"]).partition("\n")[0]}


class _StandardError:
    """Whatever standard error is when a line is written: while progress is shown, lines go above it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


@contextmanager
def failures_explained(tell: "Callable[[str], NoReturn]" = fail) -> Iterator[None]:
    """Turns what keeps a database from being used into one sentence and exit code 1, or whatever `tell` does."""
    from commontrace.domain.errors import CommonTraceError, DatabaseUnavailable, ModelReplaced, Overloaded
    from commontrace.embeddings.embedder import EmbedderUnavailable, ModelNotUsable
    from commontrace.serving.embedder_factory import settings_that_fit
    from commontrace.serving.not_ready import NotReady
    from commontrace.storage.embedded_postgres.instance import DataDirectoryInUse, EmbeddedPostgresFailed
    from commontrace.storage.migrations import MigrationLocked, MigrationRefused
    from commontrace.storage.remedies import what_to_do

    try:
        yield
    except (DatabaseUnavailable, MigrationRefused, Overloaded) as error:
        advice = what_to_do(error, otherwise="")
        tell(f"{with_cause(error)}: {advice}" if advice else with_cause(error))
    except ModelReplaced as error:
        fitting = "" if error.current is None else f": start with {settings_that_fit(error.current)}"
        tell(f"{error}{fitting}")
    except (
        CommonTraceError,
        DataDirectoryInUse,
        EmbedderUnavailable,
        EmbeddedPostgresFailed,
        MigrationLocked,
        ModelNotUsable,
        NotReady,
    ) as error:
        tell(str(error))


def with_cause(error: BaseException) -> str:
    """Returns what an error of the domain says and what the driver says that is behind it, if anything is: one line."""
    cause = _first_cause(error)
    # After it come details, and the driver's hints for programs.
    said = str(cause).partition("\n")[0]
    return str(error) if cause is error else f"{error}: {said or type(cause).__name__}"


def _first_cause(error: BaseException) -> BaseException:
    return error if error.__cause__ is None else _first_cause(error.__cause__)
