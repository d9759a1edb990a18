"""A server of 0.1.0 that still runs: it serves one namespace beside newer ones, and nothing once more are enabled."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.namespaces import enabling
from commontrace.storage.postgres_url import parse_postgres_url
from commontrace.v1 import tag_service_pb2 as tag_pb
from commontrace.v1 import trace_event_pb2, trace_export_pb2, vote_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from commontrace.v1.tag_service_pb2_grpc import TagServiceStub
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub
from tests.compatibility.previous_version import PreviousVersion
from tests.conftest import administer, query
from tests.contract.callers import ADA, BOB, EVE, reason_of
from tests.contract.errors.error_row import UNKNOWN_ID
from tests.faults.server_process import ServerProcess, environment
from tests.support.builders import a_contribution

MODEL = {"EMBEDDER": "lexical", "EMBEDDING_DIMENSIONS": "384"}
SECONDS = 10.0
PRIVATE = """
    INSERT INTO namespaces (id, name, visibility) VALUES ('{namespace}', 'team', 'private');
    UPDATE traces SET namespace_id = '{namespace}' WHERE id = '{trace}'"""

Calls = dict[str, Callable[[], Awaitable[Any]]]


def known_to_it(url: str) -> str:
    """The URL without parameters that 0.1.0 does not know."""
    parsed = parse_postgres_url(url)
    kept = {name: value for name, value in parsed.query.items() if name in ("host", "port")}
    return parsed.set(query=kept).render_as_string(hide_password=False)


async def all_of(stream: Any) -> list[Any]:
    return [message async for message in stream]


def reads_of(channel: grpc.aio.Channel, trace_id: str) -> Calls:
    """Every call that would show something of a trace."""
    traces, votes, tags = TraceServiceStub(channel), VoteServiceStub(channel), TagServiceStub(channel)
    search = pb.SearchTracesRequest
    return {
        "get": lambda: traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id)),
        "batch get": lambda: traces.BatchGetTraces(pb.BatchGetTracesRequest(trace_ids=[trace_id])),
        "list": lambda: traces.ListTraces(pb.ListTracesRequest()),
        "revisions": lambda: traces.ListTraceRevisions(pb.ListTraceRevisionsRequest(trace_id=trace_id)),
        "search": lambda: all_of(traces.SearchTraces(search(text="Problem number 1 appeared"))),
        "search, exact": lambda: all_of(traces.SearchTraces(search(text="Problem number 1 appeared", exact=True))),
        "search like it": lambda: all_of(traces.SearchTraces(search(trace_id=trace_id, limit=1))),
        "export": lambda: all_of(traces.ExportTraces(trace_export_pb2.ExportTracesRequest())),
        "votes": lambda: votes.ListVotes(vote_pb.ListVotesRequest(trace_id=trace_id)),
        "vote": lambda: votes.GetVote(vote_pb.GetVoteRequest(trace_id=trace_id), metadata=BOB),
        "tags": lambda: tags.ListTags(tag_pb.ListTagsRequest()),
        "tag": lambda: tags.GetTag(tag_pb.GetTagRequest(name="python")),
        "names of tags": lambda: tags.ResolveTags(tag_pb.ResolveTagsRequest(names=["python"])),
    }


def writes_of(channel: grpc.aio.Channel, trace_id: str) -> Calls:
    """Calls that would change a trace, or answer with it."""
    traces, votes, tags = TraceServiceStub(channel), VoteServiceStub(channel), TagServiceStub(channel)
    up = vote_pb.CastVoteRequest(trace_id=trace_id, type=vote_pb2.VOTE_TYPE_UP)
    return {
        "duplicate": lambda: traces.CreateTrace(a_contribution(1), metadata=BOB),
        "vote": lambda: votes.CastVote(up, metadata=EVE),
        "hide": lambda: traces.HideTrace(pb.HideTraceRequest(trace_id=trace_id, reason="spam"), metadata=EVE),
        "merge": lambda: tags.MergeTags(tag_pb.MergeTagsRequest(source="python", target="snake"), metadata=EVE),
        "delete": lambda: traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace_id), metadata=ADA),
    }


async def succeeded(calls: Calls) -> list[str]:
    """The names of the calls that were answered."""
    answered = []
    for name, call in calls.items():
        if (reason := await reason_of(asyncio.wait_for(call(), SECONDS))) == "OK":
            answered.append(name)
        else:
            assert reason == "INTERNAL", (name, reason)
    return answered


async def test_it_serves_until_namespaces_are_enabled(
    previous_version: PreviousVersion, empty_database_url: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": known_to_it(empty_database_url), **MODEL}
    migrate = [str(previous_version.python), "-m", "commontrace", "migrate"]
    await asyncio.to_thread(subprocess.run, migrate, env=environment(tmp_path, **settings), check=True)
    server = ServerProcess(tmp_path, **settings)
    server.python = str(previous_version.python)
    with server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            trace_id = (await TraceServiceStub(channel).CreateTrace(a_contribution(1), metadata=ADA)).created.id
            await VoteServiceStub(channel).CastVote(
                vote_pb.CastVoteRequest(trace_id=trace_id, type=vote_pb2.VOTE_TYPE_UP), metadata=BOB
            )
            # The database is migrated while it runs: it serves what it knows.
            assert await migrations.upgrade(empty_database_url, LexicalEmbedder(384))
            reads, writes = reads_of(channel, trace_id), writes_of(channel, trace_id)
            assert await succeeded(reads) == list(reads)
            watching = TraceServiceStub(channel).WatchTraces(trace_event_pb2.WatchTracesRequest())
            await watching.read()
            other = await TraceServiceStub(channel).CreateTrace(a_contribution(2), metadata=ADA)
            event: Any = await asyncio.wait_for(watching.read(), SECONDS)
            assert [told.trace_id for told in event.events] == [other.created.id]

            assert await enabling.enable(empty_database_url)
            await administer(empty_database_url, PRIVATE.format(namespace=UNKNOWN_ID, trace=trace_id))
            assert await succeeded(reads) == []
            assert await succeeded(writes) == []
            # Of an event of a namespace that it does not know, a watch that is under way tells nothing.
            private = f"'{trace_id}', 'updated', 1, '{UNKNOWN_ID}'"
            await administer(
                empty_database_url,
                f"INSERT INTO trace_events (trace_id, event_type, revision, namespace_id) VALUES ({private})",  # noqa: S608 - ours
            )
            assert await reason_of(asyncio.wait_for(watching.read(), SECONDS)) == "INTERNAL"
    unchanged = "SELECT revision, deleted_at, namespace_id::text, (SELECT count(*) FROM votes) FROM traces"
    where = f"WHERE id = '{trace_id}'"
    assert await query(empty_database_url, f"{unchanged} {where}") == [(1, None, UNKNOWN_ID, 1)]
