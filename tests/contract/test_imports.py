"""What becomes of imported traces."""

from uuid import uuid4

from tests.conftest import RunningServer, query
from tests.contract.imports import a_record, acknowledged, imported, message, outcomes


async def test_thin(server: RunningServer, database_url: str) -> None:
    import_id = str(uuid4())
    first, second, asked = await acknowledged(
        server.traces, message([a_record(1), a_record(2)], import_id=import_id), message([a_record(3), a_record(1)], first=3), message()
    )
    assert outcomes(first.results) == ["created", "created"]
    assert outcomes(second.results) == ["created", "existing"]
    assert (first.last_sequence, second.last_sequence, asked.last_sequence) == (2, 4, 4)
    assert (asked.created_count, asked.existing_count) == (3, 1)
    print(await query(database_url, "select * from trace_events"))
