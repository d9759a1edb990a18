"""What a command takes from files and standard input."""

import json
import sys
from pathlib import Path
from typing import Any

import typer

_FIELDS = ("title", "context", "solution", "tags", "agent_model", "agent_version", "metadata")


def text(value: str) -> str:
    """Returns the value, or what the file holds that it names as @FILE."""
    return _read(Path(value[1:])) if value.startswith("@") else value


def contribution(file: Path) -> dict[str, Any]:
    """Returns the fields of a contribution that a JSON file holds."""
    from google.protobuf.json_format import ParseDict, ParseError

    from commontrace.v1 import trace_service_pb2

    try:
        fields = json.loads(_read(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}") from None
    if not isinstance(fields, dict) or not fields.keys() <= set(_FIELDS):
        raise typer.BadParameter(f"{file} must hold one JSON object with no other fields than {', '.join(_FIELDS)}")
    # A string where a list belongs would become a list of its characters.
    try:
        ParseDict(fields, trace_service_pb2.CreateTraceRequest())
    except ParseError as error:
        raise typer.BadParameter(f"{file}: {error}") from None
    return {name: value for name, value in fields.items() if value is not None}


def _read(file: Path) -> str:
    try:
        return (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8 text") from None
