"""Files of traces to import: one JSON object a line, read a line at a time."""

import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO
from uuid import UUID, uuid5

from commontrace.cli.runtime.json_input import InvalidInput, parse_into

if TYPE_CHECKING:
    from commontrace.v1 import trace_record_pb2

_NAMESPACE = UUID("0d1c7f0e-53d5-4a37-9a0b-7a1f6c2f9c11")
_CHUNK_BYTES = 1 << 20
# The largest request is 1 MiB; as JSON, it may take several times as much.
_LINE_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line that is not blank; the first is number 1. `text` is empty where there is a `problem` with reading it."""

    number: int
    text: bytes = b""
    problem: str = ""


def lines(source: BinaryIO) -> Iterator[Line]:
    """Yields the lines of a file, without those that are blank. None is held longer than it is needed."""
    number = 0
    while text := source.readline(_LINE_BYTES):
        number += 1
        if len(text) == _LINE_BYTES and not text.endswith(b"\n"):
            while text and not text.endswith(b"\n"):
                text = source.readline(_LINE_BYTES)
            yield Line(number=number, problem=f"has more than {_LINE_BYTES >> 20} MiB")
        elif text.removeprefix(BOM_UTF8).strip():
            yield Line(number=number, text=text)


def parse_record(line: Line) -> "trace_record_pb2.TraceRecord":
    """Returns the trace that a line holds. Raises Unreadable."""
    from commontrace.v1 import trace_record_pb2

    if line.problem:
        raise InvalidInput(line.problem)
    trace = trace_record_pb2.TraceRecord()
    parse_into(trace, line.text, tuple(trace.DESCRIPTOR.fields_by_name))
    return trace


def derive_import_id(source: BinaryIO, on_duplicate: str | None) -> tuple[UUID, int]:
    """Returns the import that follows from a file's content and what is to become of duplicates, and its lines.

    The file is read to its end, and stands where it stood before.
    """
    digest, count, last, start = hashlib.sha256(), 0, b"\n", source.tell()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        count += chunk.count(b"\n")
        last = chunk[-1:]
    source.seek(start)
    return uuid5(_NAMESPACE, f"{digest.hexdigest()} {on_duplicate or ''}"), count + (last != b"\n")
