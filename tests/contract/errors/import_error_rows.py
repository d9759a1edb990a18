"""Error rows for the messages of ImportTraces. An invalid trace fails alone, not the stream."""

from collections.abc import Iterator

from commontrace.domain import limits
from commontrace.v1 import trace_import_pb2 as imports_pb
from tests.contract.errors.error_row import IMPORT, NO_IDS, UNKNOWN_ID, Row, delimited, invalid, malformed
from tests.contract.imports.imports import a_record, message


def import_rows() -> Iterator[Row]:
    yield invalid(IMPORT, "no import_id", "FIELD_REQUIRED", "import_id", message([a_record()]))
    yield invalid(IMPORT, "nothing at all", "FIELD_REQUIRED", "import_id", message())
    for name, value in NO_IDS.items():
        request = message([a_record()], import_id=value)
        yield invalid(IMPORT, f"import_id with {name}", "MALFORMED_ID", "import_id", request)
    many = message([a_record()] * (limits.IMPORT_ITEMS + 1), import_id=UNKNOWN_ID)
    yield invalid(IMPORT, "too many items", "FIELD_TOO_LONG", "items", many)
    for sequences in ((0,), (-1,), (-(2**63),), (1, 1), (1, 2, 2), (3, 2), (2**63 - 1, 2**63 - 1), (5, 0)):
        at_fault = len(sequences) - 1
        request = imports_pb.ImportTracesRequest(import_id=UNKNOWN_ID)
        for sequence in sequences:
            request.items.add(sequence=sequence, trace=a_record())
        name, field = f"sequences {sequences}", f"items[{at_fault}].sequence"
        yield invalid(IMPORT, name, "FIELD_OUT_OF_RANGE", field, request)
    without = imports_pb.ImportTracesRequest(import_id=UNKNOWN_ID, items=[imports_pb.ImportItem(sequence=1)])
    yield invalid(IMPORT, "no trace", "FIELD_REQUIRED", "items[0].trace", without)
    yield malformed(IMPORT, "import_id not UTF-8", b"\x0a\x01\xff")
    yield malformed(IMPORT, "title not UTF-8", delimited(2, delimited(2, delimited(2, b"\xc3\x28"))))
