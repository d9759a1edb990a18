"""What a command takes from files and standard input."""

import sys
from pathlib import Path
from typing import Any, BinaryIO

import typer

from commontrace.cli.output.printing import print_note
from commontrace.cli.runtime.json_input import InvalidInput, decode_utf8, parse_into

_FIELDS = ("title", "context", "solution", "tags", "agent_model", "agent_version", "metadata")
_STANDARD_INPUT = Path("-")
_IS_STANDARD_INPUT = ("-", "@-")


def read_texts(file: Path | None = None, **given: str | None) -> dict[str, str | None]:
    """Returns the texts that options give, by the name of the option, and says which files they are read from.

    `@FILE` stands for what the file holds, `-` for standard input, and `@@` for an @ that begins the text itself.
    """
    if [*given.values(), str(file)].count("-") + [*given.values()].count("@-") > 1:
        raise typer.BadParameter("standard input is read once: give - in one place only")
    return {name: None if value is None else _text(name, value) for name, value in given.items()}


def read_contribution(file: Path) -> dict[str, Any]:
    """Returns the fields of a contribution that a JSON file holds."""
    from commontrace.v1 import trace_service_pb2

    try:
        # A string where a list belongs would become a list of its characters.
        fields = parse_into(trace_service_pb2.CreateTraceRequest(), _read(file), _FIELDS)
    except InvalidInput as error:
        raise typer.BadParameter(f"{file} {error}") from None
    return {name: value for name, value in fields.items() if value is not None}


def standard_input() -> BinaryIO:
    """Returns the bytes of standard input, or says that there is none and ends."""
    # Python has none where it was closed: `commontrace import - <&-`.
    if sys.stdin is None:
        raise typer.BadParameter("standard input is closed: give a FILE instead of -")
    return sys.stdin.buffer


def _text(name: str, value: str) -> str:
    if value.startswith("@@"):
        return value[1:]
    if value in _IS_STANDARD_INPUT:
        return _content(_STANDARD_INPUT)
    if not value.startswith("@"):
        return value
    file = _at_home(Path(value[1:]))
    try:
        content = _content(file)
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{error.message}; a text that begins with @ is written @{value}") from None
    print_note(f"{name}: read from {file}, {len(content)} characters")
    return content


def _at_home(file: Path) -> Path:
    # Behind an @, no shell makes ~ the home directory.
    try:
        return file.expanduser()
    except RuntimeError:
        return file


def _content(file: Path) -> str:
    try:
        return decode_utf8(_read(file))
    except InvalidInput as error:
        raise typer.BadParameter(f"{file} {error}") from None


def _read(file: Path) -> bytes:
    try:
        return standard_input().read() if file == _STANDARD_INPUT else file.read_bytes()
    except (OSError, ValueError) as error:
        # ValueError: no file has a NUL in its name.
        raise typer.BadParameter(f"{file} cannot be read: {getattr(error, 'strerror', error)}") from None
