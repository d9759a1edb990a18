"""Output of commands: results on standard output, messages and failures on standard error."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from commontrace.cli.exit_codes import FAILED
from commontrace.domain.text import without_forbidden

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

Item = TypeVar("Item")

# Line breaks other than LF: a lone CR moves a terminal's cursor back, and U+2028 and U+2029 are invisible there.
_LINE_BREAK = re.compile("\r\n?|[\u2028\u2029]")
# Lone surrogates are no characters and cannot be encoded.
_SURROGATE = re.compile("[\ud800-\udfff]")
# White space without U+00A0, U+3000 and other spaces that carry meaning.
_GAP = re.compile("[ \t-\r\x1c-\x1f\x85\u2028\u2029]+")


def fail(message: str, exit_code: int = FAILED, *, reason: str = "") -> NoReturn:
    """Prints a failure and ends the command; with --json as one object, with the contract's `reason` or ""."""
    print_failure(message, exit_code, reason=reason)
    raise SystemExit(exit_code)


def print_failure(message: str, exit_code: int, *, reason: str = "") -> None:
    """Prints a failure in the same form, and returns."""
    if wants_json():
        _print_to_standard_error(to_json({"error": message, "reason": reason, "exit_code": exit_code}))
    else:
        print_note(f"commontrace: {message}")


def wants_json() -> bool:
    """Returns True if --json was given, even on a command line that cannot be parsed."""
    return "--json" in sys.argv[1:]


def print_note(message: str) -> None:
    """Prints a message that is no result of the command to standard error."""
    _print_to_standard_error(printable(message))


def _print_to_standard_error(line: str) -> None:
    # A closed pipe or a full disk must not change the exit code: `commontrace ... 2>&1 | head`.
    with suppress(OSError):
        print(line, file=sys.stderr)


def print_json(fields: Mapping[str, Any]) -> None:
    """Prints one object on one line, with escapes for terminal control characters."""
    print(to_json(fields, encoding=sys.stdout.encoding))


def to_json(fields: Mapping[str, Any], *, sort_keys: bool = False, encoding: str = "utf-8") -> str:
    """Returns one object on one line, with escapes for terminal control characters and what cannot be encoded."""
    text = json.dumps(fields, ensure_ascii=False, sort_keys=sort_keys)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(fields, sort_keys=sort_keys)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else json.dumps(character)[1:-1] for character in text)


def message_to_dict(message: "Message") -> dict[str, Any]:
    """Returns a message in its JSON mapping, with the contract's field names and with fields at their defaults."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def print_message(message: "Message", line: str, *, as_json: bool) -> None:
    """Prints a call's response: with `as_json` the message as one object, else the given line."""
    if as_json:
        print_json(message_to_dict(message))
    else:
        print(line)


def print_list(
    items: Sequence[Item],
    *,
    as_json: bool,
    to_dict: Callable[[Item], Mapping[str, Any]],
    print_items: Callable[[Sequence[Item]], None],
    empty: str,
) -> None:
    """Prints a list: with `as_json` one object for each item, else by `print_items`, or the line `empty` for none."""
    if as_json:
        for item in items:
            print_json(to_dict(item))
    elif items:
        print_items(items)
    else:
        print(empty)


def join_facts(*facts: str) -> str:
    """Returns the facts that are not empty on one line, two spaces apart."""
    return "  ".join(filter(None, facts))


def printable(text: str) -> str:
    """Returns untrusted text without the characters that are never stored, which could control a terminal.

    Non-breaking spaces, joiners and characters unknown to this Python stay.
    """
    return _SURROGATE.sub("", without_forbidden(_LINE_BREAK.sub("\n", text)))


def one_line(text: str) -> str:
    """Returns printable text on one line, because a title of several lines could pass for further results."""
    return printable(_GAP.sub(" ", text).strip(" "))


def format_second(time: "Timestamp") -> str:
    """Returns a time to the second, such as `2026-01-31 09:30:00 UTC`."""
    return f"{time.ToDatetime().isoformat(' ', 'seconds')} UTC"


def format_minute(time: "Timestamp") -> str:
    """Returns a time to the minute, such as `2026-01-31 09:30 UTC`."""
    return f"{time.ToDatetime().isoformat(' ', 'minutes')} UTC"


def format_day(time: "Timestamp") -> str:
    """Returns the day of a time (UTC), such as `2026-01-31`."""
    return time.ToDatetime().date().isoformat()
