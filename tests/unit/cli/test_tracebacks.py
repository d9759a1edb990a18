import sys

from asyncpg import CheckViolationError

from commontrace.cli.output.tracebacks import traceback_without_messages
from commontrace.domain.errors import DatabaseUnavailable, Overloaded
from commontrace.domain.log_safety import safe_message


def refused() -> None:
    error = CheckViolationError("Failing row contains (a private text).")
    error.constraint_name = "ck_traces_status"
    raise error


def failed() -> None:
    try:
        refused()
    except CheckViolationError as error:
        raise ValueError("a private text") from error


def test_a_traceback_tells_places_kinds_and_facts_but_no_message() -> None:
    try:
        failed()
    except ValueError:
        info = sys.exc_info()
    assert info[0] is not None
    assert info[1] is not None
    lines = traceback_without_messages((info[0], info[1], info[2])).splitlines()
    assert "asyncpg.exceptions.CheckViolationError sqlstate=23514 constraint_name=ck_traces_status" in lines
    assert lines[-1] == "builtins.ValueError"
    assert sum(__file__ in line for line in lines) == 4
    # The line of code that raised it is ours, and stands there.
    assert "a private text" not in "".join(line for line in lines if not line.startswith("    raise"))


def test_failures_of_others_are_told_by_their_kind() -> None:
    assert safe_message(Overloaded("every database connection is busy")) == "every database connection is busy"
    assert safe_message(DatabaseUnavailable("")) == "DatabaseUnavailable"
    assert safe_message(ValueError("a private text")) == "ValueError"
