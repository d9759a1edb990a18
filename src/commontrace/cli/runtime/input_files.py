"""Input files and standard input: texts of options, a contribution in JSON, the source of an import."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import typer

from commontrace.cli.output.printing import print_note
from commontrace.cli.runtime.json_input import InvalidInput, decode_utf8, parse_into

_FIELDS = ("title", "context", "solution", "tags", "agent_model", "agent_version", "metadata")
_STANDARD_INPUT = Path("-")
_IS_STANDARD_INPUT = ("-", "@-")


def read_texts(file: Path | None = None, **given: str | None) -> dict[str, str | None]:
    """Returns the texts of options by the option's name, and prints which files they were read from.

    As for curl, `@FILE` means the content of the file, `-` standard input, and `@@` an @ that begins the text itself.
    `file` is the command's FILE argument, which may name standard input too. Raises typer.BadParameter.
    """
    if [*given.values(), str(file)].count("-") + [*given.values()].count("@-") > 1:
        raise typer.BadParameter("standard input is read once: give - in one place only")
    return {name: None if value is None else _text(name, value) for name, value in given.items()}


def read_contribution(file: Path) -> dict[str, Any]:
    """Returns the fields of a contribution from a JSON file. Raises typer.BadParameter."""
    from commontrace.v1 import trace_service_pb2

    try:
        # Parsed as a message, because Python would make a list of characters of a string in the place of a list.
        fields = parse_into(trace_service_pb2.CreateTraceRequest(), _read(file), _FIELDS)
    except InvalidInput as error:
        raise typer.BadParameter(f"{file} {error}") from None
    return {name: value for name, value in fields.items() if value is not None}


def standard_input() -> BinaryIO:
    """Returns standard input as bytes. Raises typer.BadParameter where it is closed: `commontrace import - <&-`."""
    if sys.stdin is None:
        raise typer.BadParameter("standard input is closed: give a FILE instead of -")
    return sys.stdin.buffer


@contextmanager
def open_input(file: Path) -> Iterator[BinaryIO]:
    """Opens a file, or standard input for `-`, which stays open afterwards. Raises typer.BadParameter."""
    if file == _STANDARD_INPUT:
        yield standard_input()
        return
    try:
        source = file.open("rb")
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from None
    with source:
        yield source


def _text(name: str, value: str) -> str:
    if value.startswith("@@"):
        return value[1:]
    if value in _IS_STANDARD_INPUT:
        return _content(_STANDARD_INPUT)
    if not value.startswith("@"):
        return value
    file = _expand_home(Path(value[1:]))
    try:
        content = _content(file)
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{error.message}; a text that begins with @ is written @{value}") from None
    print_note(f"{name}: read from {file}, {len(content)} characters")
    return content


def _expand_home(file: Path) -> Path:
    # No shell expands a ~ that stands behind an @.
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
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: OSError | ValueError) -> typer.BadParameter:
    # A ValueError is a NUL in the name of the file.
    return typer.BadParameter(f"{file} cannot be read: {getattr(error, 'strerror', error)}")
