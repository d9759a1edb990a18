"""`commontrace reembed` as a process of its own, killed over and over, under a server that goes on answering."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.database import Database
from tests.conftest import RunningServer, ServerFactory, query, server_settings
from tests.faults.killed_command import has_reached, killed
from tests.faults.server_process import run_command
from tests.integration.storage.reembedding_runs import every_vector_is_of
from tests.integration.storage.storing import EMAIL, a_trace
from tests.support.builders import hits_of, search

TRACES = 400
FIRST, LAST = LexicalEmbedder(384), LexicalEmbedder(1200)
SETTINGS = {"EMBEDDER": "lexical", "EMBEDDING_DIMENSIONS": "1200"}
_ENCODED = "SELECT count(*) FROM traces WHERE next_embedding IS NOT NULL"
_INDEXES = "SELECT count(*) FROM pg_class WHERE relname LIKE 'ix_traces_next%'"
_COLUMNS = """
    SELECT count(*) FROM pg_attribute
    WHERE attname LIKE 'next_embedding%' AND attnum > 0 AND attrelid = 'traces'::regclass"""
# A small index is built so soon that it may be seen only when it is done.
_BUILDING = f"SELECT (SELECT count(*) FROM pg_stat_progress_create_index) + ({_INDEXES})"  # noqa: S608 - our own
_SWAPPED = "SELECT count(*) FROM embedding_models WHERE is_current AND dimensions = 1200"

_RANDOM = Random(3)  # noqa: S311 - not a secret
# When to kill: what is asked, and the least answer.
MOMENTS = [
    (_COLUMNS, 4),
    *((_ENCODED, count) for count in sorted(_RANDOM.sample(range(1, TRACES - 60), 6))),
    (_BUILDING, 1),
    (_INDEXES, 1),
    (_INDEXES, 2),
    (_SWAPPED, 1),
]


async def fill(database: Database) -> None:
    texts = [(f"title{number}", f"apple{number} pear{number}", f"plum{number}") for number in range(TRACES)]
    embeddings = await FIRST.encode(["\n\n".join(parts) for parts in texts])
    async with database.unit_of_work() as work:
        owner = await work.users.get_or_create(EMAIL)
        for (title, context, solution), embedding in zip(texts, embeddings, strict=True):
            trace = a_trace(owner, title=title, context=context, solution=solution, embedding=embedding.vector)
            model = {"embedding_model_id": FIRST.model_id, "embedding_model_version": FIRST.model_version}
            await work.trace_creation.add(a_trace(owner, **{**_fields(trace), **model}))


def _fields(trace: Any) -> dict[str, Any]:
    return {name: getattr(trace, name) for name in ("id", "title", "context", "solution", "embedding")}


async def keep_searching(server: RunningServer, is_over: Callable[[], bool]) -> int:
    count = 0
    while not is_over():
        number = count % TRACES
        text = f"title{number}\n\napple{number} pear{number}\n\nplum{number}"
        hits = hits_of(await search(server.traces, text=text, limit=1000, exact=count % 3 == 0))
        assert (len(hits), hits[0].trace.title) == (TRACES, f"title{number}")
        assert hits[0].similarity > 0.999
        count += 1
        await asyncio.sleep(0.02)
    return count


async def _is_due(connection: AsyncConnection, sql: str, least: int) -> bool:
    has_columns = (await connection.exec_driver_sql(_COLUMNS)).scalar() == 4
    if sql == _ENCODED and not has_columns:
        return False
    return await has_reached(connection, sql, least)


# Its steps are tested on the other version, too, without processes.
@pytest.mark.parametrize("postgres_version", ["18"], indirect=True)
async def test_killed_at_any_point_it_goes_on(
    start_server: ServerFactory,
    empty_database_url: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    await migrations.upgrade(empty_database_url, FIRST)
    database = Database(empty_database_url)
    is_over = False
    kills = 0
    try:
        await fill(database)
        async with start_server(settings=server_settings(), database=database, embedder=FIRST) as server:
            searching = asyncio.create_task(keep_searching(server, lambda: is_over))
            for sql, least in MOMENTS:
                is_due = partial(_is_due, sql=sql, least=least)
                kills += await killed(tmp_path, empty_database_url, "reembed", is_due=is_due, settings=SETTINGS)
            done = await asyncio.to_thread(
                run_command, tmp_path, "reembed", DATABASE_URL=empty_database_url, **SETTINGS
            )
            assert done.returncode == 0, done.stderr
            model = "lexical-hash (1200 dimensions)"
            assert done.stdout in {
                f"re-encoded {TRACES} traces for {model}\n",
                f"nothing to do: the database's model is {model}\n",
            }
            is_over = True
            searches = await searching
    finally:
        await database.close()
    record_property("counted", f"{kills} kills, {searches} searches")
    assert kills >= 10
    assert await every_vector_is_of(LAST, empty_database_url) == TRACES
    assert await query(empty_database_url, _INDEXES) == [(0,)]
