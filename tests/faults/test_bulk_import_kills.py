"""`commontrace bulk-import` killed over and over, under a server that goes on searching and storing."""

import asyncio
import base64
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.database import Database
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.conftest import RunningServer, ServerFactory, query, server_settings
from tests.faults.killed_command import has_reached, killed
from tests.faults.server_process import run_command
from tests.integration.storage.storing import EMAIL, a_trace
from tests.support.builders import a_contribution, hits_of, search

STORED, LINES = 2_500, 4_000
MODEL = LexicalEmbedder(384)
SETTINGS = {"EMBEDDER": "lexical", "EMBEDDING_DIMENSIONS": "384"}
_INDEX = "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('ix_traces_embedding_hnsw')"
_IS_DROPPED = "SELECT (to_regclass('ix_traces_embedding_hnsw') IS NULL)::int"
_ITEMS = "SELECT count(*) FROM import_items"
_LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid IN (1651862635, 1685221232)"
# When to kill: what is asked, and the least answer. A batch has a thousand lines.
MOMENTS = [
    (_LOCKS, 1),
    (_LOCKS, 2),
    (_IS_DROPPED, 1),
    *((_ITEMS, count) for count in (1, 1_001, 2_001, LINES)),
    (f"SELECT ({_INDEX}) * (({_ITEMS}) / {LINES})", 1),
    (f"{_INDEX} AND indisready", 1),
]


def a_text(number: int) -> tuple[str, str, str]:
    return f"title{number}", f"apple{number} pear{number}", f"plum{number}"


async def vector_of(*texts: str) -> Any:
    [embedding] = await MODEL.encode(["\n\n".join(texts)])
    return embedding.vector


async def fill(database: Database) -> None:
    model = {"embedding_model_id": MODEL.model_id, "embedding_model_version": MODEL.model_version}
    async with database.unit_of_work() as work:
        owner = await work.users.get_or_create(EMAIL)
        for number in range(STORED):
            title, context, solution = a_text(number)
            vector = await vector_of(title, context, solution)
            fields = {"title": title, "context": context, "solution": solution, "embedding": vector}
            await work.trace_creation.add(a_trace(owner, **fields, **model))


async def write_lines(file: Path) -> None:
    with file.open("w") as lines:
        for number in range(STORED, STORED + LINES):
            title, context, solution = a_text(number)
            packed = np.asarray(await vector_of(title, context, solution), dtype="<f4").tobytes()
            line = {
                "title": title,
                "context": context,
                "solution": solution,
                "tags": ["imported"],
                "embedding": {"packed_f32": base64.b64encode(packed).decode(), "model_id": MODEL.model_id},
                # Nothing but the sequence keeps a line from being stored twice.
                "on_duplicate": "ON_DUPLICATE_ALLOW",
            }
            lines.write(json.dumps(line) + "\n")


async def keep_searching(server: RunningServer, is_over: Callable[[], bool]) -> int:
    """Searches for traces that are there: each is the first hit, and every limit is filled."""
    count = 0
    while not is_over():
        title, context, solution = a_text(count % STORED)
        limit = (3, 10, 1000)[count % 3]
        vector_text = f"{title}\n\n{context}\n\n{solution}"
        hits = hits_of(await search(server.traces, text=vector_text, limit=limit))
        assert (len(hits), hits[0].trace.title) == (limit, title)
        assert hits[0].similarity > 0.999
        count += 1
        await asyncio.sleep(0.01)
    return count


async def keep_storing(traces: TraceServiceStub, is_over: Callable[[], bool]) -> list[str]:
    stored: list[str] = []
    while not is_over():
        answer = await traces.CreateTrace(a_contribution(len(stored)), timeout=20)
        stored.append(answer.created.id)
        await asyncio.sleep(0.05)
    return stored


# Its steps are the same on the other version.
@pytest.mark.parametrize("postgres_version", ["18"], indirect=True)
async def test_killed_at_any_point_it_goes_on(
    start_server: ServerFactory,
    empty_database_url: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    await migrations.upgrade(empty_database_url, MODEL)
    database = Database(empty_database_url, pool_timeout=10)
    file = tmp_path / "traces.jsonl"
    await write_lines(file)
    is_over = False
    kills = 0
    try:
        await fill(database)
        async with start_server(settings=server_settings(), database=database, embedder=MODEL) as server:
            searching = asyncio.create_task(keep_searching(server, lambda: is_over))
            storing = asyncio.create_task(keep_storing(server.traces, lambda: is_over))
            for sql, least in MOMENTS:
                is_due = partial(has_reached, sql=sql, least=least)
                kills += await killed(
                    tmp_path, empty_database_url, "bulk-import", str(file), is_due=is_due, settings=SETTINGS
                )
                assert not searching.done(), searching.result()
            done = await asyncio.to_thread(
                run_command, tmp_path, "bulk-import", str(file), DATABASE_URL=empty_database_url, **SETTINGS
            )
            assert done.returncode == 0, done.stderr
            is_over = True
            searches, created = await searching, await storing
    finally:
        await database.close()
    record_property("counted", f"{kills} kills, {searches} searches, {len(created)} creates")
    assert kills >= 7
    imported = f"SELECT count(*), count(DISTINCT title), ({_ITEMS}) FROM traces WHERE title LIKE 'title%'"  # noqa: S608
    assert await query(empty_database_url, imported) == [(STORED + LINES, STORED + LINES, LINES)]
    tags = "SELECT count(*) FROM trace_tags JOIN tags ON tags.id = tag_id WHERE name = 'imported'"
    assert await query(empty_database_url, tags) == [(LINES,)]
    ids = [UUID(one) for one in created]
    found = await query(empty_database_url, "SELECT id FROM traces WHERE title LIKE 'Trace number%'")
    assert {row.id for row in found} == {*ids}
    assert await query(empty_database_url, f"{_INDEX} AND indisvalid") == [(1,)]
    assert await query(
        empty_database_url, "SELECT count(*) FROM pg_class WHERE relname LIKE 'ix_traces_embedding%'"
    ) == [(1,)]
