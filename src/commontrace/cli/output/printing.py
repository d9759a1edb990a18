"""How the command line speaks: results to standard output, everything else to standard error."""

import json
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from commontrace.cli.exit_codes import FAILED
from commontrace.domain.text import without_forbidden

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

# Line breaks of every kind: a terminal obeys a lone CR, and two of them look like none.
_LINE_BREAK = re.compile("\r\n?|[\u2028\u2029]")
# Halves of surrogate pairs are no characters, and cannot be written.
_SURROGATE = re.compile("[\ud800-\udfff]")
# Spaces that mean something, such as U+00A0 and U+3000, stay.
_GAP = re.compile("[ \t-\r\x1c-\x1f\x85\u2028\u2029]+")


def fail(message: str, exit_code: int = FAILED, *, reason: str = "") -> NoReturn:
    """Says what went wrong and ends; with --json as one object, whose `reason` is the contract's, empty without one."""
    print_failure(message, exit_code, reason=reason)
    raise SystemExit(exit_code)


def print_failure(message: str, exit_code: int, *, reason: str = "") -> None:
    """Says the same, and goes on."""
    if wants_json():
        _to_standard_error(as_json({"error": message, "reason": reason, "exit_code": exit_code}))
    else:
        print_note(f"commontrace: {message}")


def wants_json() -> bool:
    """Tells whether --json was given; how a command line is wrong has to be told before it is understood."""
    return "--json" in sys.argv[1:]


def print_note(message: str) -> None:
    """Says what is no result."""
    _to_standard_error(printable(message))


def _to_standard_error(line: str) -> None:
    # Where nobody reads it any more, or a disk is full, the command itself still counts: `commontrace ... 2>&1 | head`.
    with suppress(OSError):
        print(line, file=sys.stderr)


def print_json(fields: Mapping[str, Any]) -> None:
    """Prints one object on one line, with escapes for what could steer a terminal."""
    print(as_json(fields, encoding=sys.stdout.encoding))


def as_json(fields: Mapping[str, Any], *, sort_keys: bool = False, encoding: str = "utf-8") -> str:
    """Returns one object on one line, with escapes for what could steer a terminal or cannot be encoded."""
    text = json.dumps(fields, ensure_ascii=False, sort_keys=sort_keys)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(fields, sort_keys=sort_keys)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text)


def message_to_dict(message: "Message") -> dict[str, Any]:
    """Returns a message as JSON knows it, with the contract's own field names and every field present."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def printable(text: str) -> str:
    """Returns other agents' words as they are, but for what could steer a terminal: the characters never stored.

    Spaces that do not break, joiners and what Python has no name for yet belong to the text.
    """
    return _SURROGATE.sub("", without_forbidden(_LINE_BREAK.sub("\n", text)))


def one_line(text: str) -> str:
    """Returns the same on one line: a title of several could pass for results that nobody found."""
    return printable(_GAP.sub(" ", text).strip(" "))


def format_second(time: "Timestamp") -> str:
    """Returns the time of an event as people read it."""
    return f"{time.ToDatetime().isoformat(' ', 'seconds')} UTC"


def format_minute(time: "Timestamp") -> str:
    """Returns a time as people read it."""
    return f"{time.ToDatetime().isoformat(' ', 'minutes')} UTC"


def format_day(time: "Timestamp") -> str:
    """Returns the day of a time."""
    return time.ToDatetime().date().isoformat()
