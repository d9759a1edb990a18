"""Both clients against a server process: every example of docs/client.md, and the synchronous client's methods."""

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from types import CodeType
from typing import Any
from uuid import UUID

import pytest

from commontrace.client import connect, sync
from commontrace.storage.namespaces import enabling
from tests.faults.server_process import ServerProcess
from tests.support.repository import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "client.md"
ADDRESS = "127.0.0.1:50051"
LEAST_EXAMPLES = 10


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, seeded_database_url: str) -> Iterator[ServerProcess]:
    asyncio.run(enabling.enable(seeded_database_url))
    with ServerProcess(tmp_path_factory.mktemp("client"), DATABASE_URL=seeded_database_url) as running:
        yield running


async def test_the_documented_examples(process: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    text = DOCUMENT.read_text().replace(ADDRESS, process.address)
    examples = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(examples) >= LEAST_EXAMPLES
    async with connect(process.address, user="ada@example.org") as client:
        names: dict[str, Any] = {"client": client, "connect": connect, "__name__": "example"}
        for number, example in enumerate(examples):
            code = compile(example, f"docs/client.md, example {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if code.co_flags & inspect.CO_COROUTINE:
                await run(code, names)
            else:
                # A program of its own, which may run an event loop.
                await asyncio.to_thread(run, code, names)
    printed = capsys.readouterr().out
    for expected in (
        "Docker Compose",
        "5 hits, every trace",
        "1 0",
        "'title': ",
        "TRACE_NOT_FOUND {'trace_id'",
        "['systemd']",
        "18 18",
        "['Our proxy drops idle sockets']",
        "commons True",
    ):
        assert expected in printed, printed


def run(code: CodeType, names: dict[str, Any]) -> Any:
    """Runs the code; returns a coroutine where it awaits anything."""
    return eval(code, names)  # noqa: S307 - our own document


def test_the_synchronous_client(process: ServerProcess) -> None:
    with (
        sync.connect(process.address, user="ada@example.org") as ada,
        sync.connect(process.address, user="bob@example.org") as bob,
    ):
        trace = ada.contribute("A sync title", "A sync problem", "A sync cure", tags=["sync"]).created
        assert ada.get(UUID(trace.id)) == trace
        assert ada.get_many([trace.id, "123e4567-e89b-12d3-a456-426614174000"]) == [trace, None]
        [hit] = ada.search("a sync problem", limit=1, exact=True)
        assert hit.trace == trace
        with ada.search_stream(UUID(trace.id), limit=5, batch_size=2) as stream:
            assert trace.id not in [hit.trace.id for hit in stream]
            assert stream.summary.hit_count == 5
        assert bob.my_vote(trace.id) is None
        assert bob.vote(trace.id, "up").tally.confirmation_count == 1
        assert [vote.voter_id for vote in ada.votes(trace.id)] == [bob.service_info().caller.user_id]
        assert bob.retract_vote(trace.id).confirmation_count == 0
        with pytest.raises(sync.PermissionDenied):
            bob.update(trace.id, title="Mine")
        with pytest.raises(sync.FailedPrecondition):
            ada.vote(trace.id, "up")
        with pytest.raises(sync.DeadlineExceeded):
            ada.within(0.000_001).search("anything")
        assert ada.update(trace.id, title="Another title").trace.revision == 2
        assert [revision.revision for revision in ada.history(trace.id)] == [2, 1]
        assert [tag.name for tag in ada.tags(prefix="sync")] == ["sync"]
        assert trace.id in [listed.id for listed in ada.list(page_size=2)]
        ada.delete(trace.id)
        with pytest.raises(sync.NotFound):
            ada.get(trace.id)
        assert ada.undelete(trace.id).id == trace.id
