"""JSON Lines of traces to import: one object a line, one line in memory at a time."""

import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO
from uuid import UUID, uuid5

from commontrace.cli.imports.target import ImportTarget
from commontrace.cli.runtime.json_input import InvalidInput, parse_into

if TYPE_CHECKING:
    from commontrace.v1 import trace_record_pb2

_ID_NAMESPACE = UUID("0d1c7f0e-53d5-4a37-9a0b-7a1f6c2f9c11")
_CHUNK_BYTES = 1 << 20
# A request has 1 MiB at most, which JSON escapes may make several times as long.
_MAX_LINE_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Line of the file that is not blank, numbered from 1. An unreadable one has a `problem` and an empty `text`."""

    number: int
    text: bytes = b""
    problem: str = ""


def read_lines(source: BinaryIO) -> Iterator[Line]:
    """Yields the lines of a file except blank ones, one at a time."""
    number = 0
    while text := source.readline(_MAX_LINE_BYTES):
        number += 1
        if len(text) == _MAX_LINE_BYTES and not text.endswith(b"\n"):
            while text and not text.endswith(b"\n"):
                text = source.readline(_MAX_LINE_BYTES)
            yield Line(number=number, problem=f"has more than {_MAX_LINE_BYTES >> 20} MiB")
        elif text.removeprefix(BOM_UTF8).strip():
            yield Line(number=number, text=text)


def parse_record(line: Line) -> "trace_record_pb2.TraceRecord":
    """Returns the trace of a line. Raises InvalidInput."""
    from commontrace.v1 import trace_record_pb2

    if line.problem:
        raise InvalidInput(line.problem)
    trace = trace_record_pb2.TraceRecord()
    parse_into(trace, line.text, tuple(trace.DESCRIPTOR.fields_by_name))
    return trace


def derive_import_id(source: BinaryIO, on_duplicate: str | None, target: ImportTarget) -> tuple[UUID, int]:
    """Returns an import id, a UUID derived from the file's content and the options, and the number of its lines.

    The same file therefore resumes the same import, unless it goes into other namespaces. Reads to the end of the
    file, then restores the position.
    """
    digest, line_count, last_byte, start = hashlib.sha256(), 0, b"\n", source.tell()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        line_count += chunk.count(b"\n")
        last_byte = chunk[-1:]
    source.seek(start)
    # Without a target, the id that earlier versions derived.
    options = f"{on_duplicate or ''} {target}".removesuffix(" ")
    return uuid5(_ID_NAMESPACE, f"{digest.hexdigest()} {options}"), line_count + (last_byte != b"\n")
