"""How the command line speaks: results to standard output, everything else to standard error."""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from commontrace.cli.exit_codes import FAILED

# Imported when something is printed: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp


def fail(message: str, exit_code: int = FAILED) -> NoReturn:
    """Says what went wrong and ends."""
    note(f"commontrace: {message}")
    raise SystemExit(exit_code)


def note(message: str) -> None:
    """Says what is no result."""
    print(printable(message), file=sys.stderr)


def json_line(fields: Mapping[str, Any]) -> None:
    """Prints one object on one line, with escapes for what could steer a terminal."""
    print(as_json(fields))


def as_json(fields: Mapping[str, Any], *, sort_keys: bool = False) -> str:
    """Returns one object on one line, with escapes for what could steer a terminal."""
    text = json.dumps(fields, ensure_ascii=False, sort_keys=sort_keys)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text)


def as_dict(message: "Message") -> dict[str, Any]:
    """Returns a message as JSON knows it, with the contract's own field names and every field present."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def printable(text: str) -> str:
    """Returns other agents' words without what could steer a terminal."""
    return "".join(character for character in text if character in "\n\t" or character.isprintable())


def one_line(text: str) -> str:
    """Returns the same on one line: a title of several could pass for results that nobody found."""
    return printable(" ".join(text.split()))


def second(time: "Timestamp") -> str:
    """Returns the time of an event as people read it."""
    return time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S UTC")


def minute(time: "Timestamp") -> str:
    """Returns a time as people read it."""
    return time.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")
