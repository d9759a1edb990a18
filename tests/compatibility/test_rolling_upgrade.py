"""Servers of 0.1.0 serve `commons` while the database gets namespaces, and fail once these are enabled (ADR 0061)."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.embedded_postgres import instance
from commontrace.v1 import namespace_service_pb2 as namespaces_pb
from commontrace.v1 import tag_service_pb2 as tags_pb
from commontrace.v1 import (
    trace_event_pb2,
    trace_export_pb2,
    trace_filter_pb2,
    trace_import_pb2,
    trace_record_pb2,
    vote_pb2,
)
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as votes_pb
from commontrace.v1.namespace_service_pb2_grpc import NamespaceServiceStub
from commontrace.v1.tag_service_pb2_grpc import TagServiceStub
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub
from tests.compatibility.previous_version import PreviousVersion
from tests.faults.server_process import ServerProcess, run_command

BEFORE_NAMESPACES = "0021_create_trace_tokens"
SECONDS = 10.0
HIDDEN = "quicksilver"
BOB = (("x-commontrace-user", "bob@example.org"),)


class Stubs:
    """The services of one server, as a synchronous client calls them."""

    def __init__(self, address: str) -> None:
        # The generated types are those of the asynchronous stubs.
        channel: Any = grpc.insecure_channel(address)
        self.traces: Any = TraceServiceStub(channel)
        self.votes: Any = VoteServiceStub(channel)
        self.tags: Any = TagServiceStub(channel)
        self.namespaces: Any = NamespaceServiceStub(channel)

    def create(self, title: str, *, namespace: str = "", tags: tuple[str, ...] = ("python",)) -> str:
        request = pb.CreateTraceRequest(title=title, context=title, solution=title, tags=tags, namespace=namespace)
        return str(self.traces.CreateTrace(request, timeout=SECONDS).created.id)

    def vote(self, trace_id: str) -> None:
        request = votes_pb.CastVoteRequest(trace_id=trace_id, type=vote_pb2.VOTE_TYPE_UP)
        self.votes.CastVote(request, metadata=BOB, timeout=SECONDS)

    def add_and_change(self) -> None:
        """Contributes, votes, moderates and merges: what the renamed columns have to do with."""
        trace_id = self.create(f"new {uuid4()}")
        self.vote(trace_id)
        self.traces.HideTrace(pb.HideTraceRequest(trace_id=trace_id, reason="a test"), timeout=SECONDS)
        self.traces.UnhideTrace(pb.UnhideTraceRequest(trace_id=trace_id), timeout=SECONDS)
        self.tags.MergeTags(tags_pb.MergeTagsRequest(source=f"alias-{uuid4().hex[:8]}", target="python"))

    def import_one(self) -> None:
        record = trace_record_pb2.TraceRecord(title=f"imported {uuid4()}", context="c", solution="s")
        item = trace_import_pb2.ImportItem(sequence=1, trace=record)
        message = trace_import_pb2.ImportTracesRequest(import_id=str(uuid4()), items=[item])
        [response] = self.traces.ImportTraces(iter([message]), timeout=SECONDS)
        assert response.results[0].created_trace_id

    def reads(self, trace_id: str) -> dict[str, Callable[[], object]]:
        """Every way to read something of a trace, or of its tag, by name."""
        traces, votes, tags, tag = self.traces, self.votes, self.tags, HIDDEN
        search = pb.SearchTracesRequest
        return {
            "get": lambda: traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id), timeout=SECONDS),
            "batch": lambda: traces.BatchGetTraces(pb.BatchGetTracesRequest(trace_ids=[trace_id]), timeout=SECONDS),
            "list": lambda: traces.ListTraces(pb.ListTracesRequest(), timeout=SECONDS),
            "search": lambda: list(traces.SearchTraces(search(text=HIDDEN), timeout=SECONDS)),
            "like": lambda: list(traces.SearchTraces(search(trace_id=trace_id), timeout=SECONDS)),
            "tagged": lambda: list(
                traces.SearchTraces(
                    search(text=HIDDEN, filter=trace_filter_pb2.TraceFilter(tags_any=[tag])), timeout=SECONDS
                )
            ),
            "export": lambda: list(traces.ExportTraces(trace_export_pb2.ExportTracesRequest(), timeout=SECONDS)),
            "revisions": lambda: traces.ListTraceRevisions(
                pb.ListTraceRevisionsRequest(trace_id=trace_id), timeout=SECONDS
            ),
            "votes": lambda: votes.ListVotes(votes_pb.ListVotesRequest(trace_id=trace_id), timeout=SECONDS),
            "vote": lambda: votes.GetVote(votes_pb.GetVoteRequest(trace_id=trace_id), metadata=BOB, timeout=SECONDS),
            "tags": lambda: tags.ListTags(tags_pb.ListTagsRequest(), timeout=SECONDS),
            "tag": lambda: tags.GetTag(tags_pb.GetTagRequest(name=tag), timeout=SECONDS),
            "resolve": lambda: tags.ResolveTags(tags_pb.ResolveTagsRequest(names=[tag]), timeout=SECONDS),
        }

    def writes(self, trace_id: str) -> dict[str, Callable[[], object]]:
        """Every kind of change, of a trace or beside it, by name."""
        return {
            "create": lambda: self.create(f"new {uuid4()}"),
            "vote": lambda: self.vote(trace_id),
            "delete": lambda: self.traces.DeleteTrace(pb.DeleteTraceRequest(trace_id=trace_id), timeout=SECONDS),
            "hide": lambda: self.traces.HideTrace(
                pb.HideTraceRequest(trace_id=trace_id, reason="a test"), timeout=SECONDS
            ),
            "purge": lambda: self.traces.PurgeTrace(pb.PurgeTraceRequest(trace_id=trace_id), timeout=SECONDS),
            "import": self.import_one,
        }


@dataclass
class Load:
    """Calls in threads, until the block ends, and how they ended."""

    done: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def _repeat(self, name: str, call: Callable[[], object]) -> None:
        while not self._is_over.is_set():
            try:
                call()
            except grpc.RpcError as error:
                self.failures.append((name, str(error)))
            self.done[name] = self.done.get(name, 0) + 1
            time.sleep(0.05)

    @contextmanager
    def running(self, calls: dict[str, Callable[[], object]]) -> Iterator[None]:
        threads = [threading.Thread(target=self._repeat, args=call) for call in calls.items()]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()


@pytest.mark.slow
def test_a_server_of_the_version_before_serves_until_namespaces_are_enabled(
    previous_version: PreviousVersion, tmp_path: Path
) -> None:
    previous = ServerProcess(tmp_path)
    previous.python = str(previous_version.python)
    with previous:
        url = instance.attach(previous.data_dir)
        assert url is not None
        # Before the load: of the revisions up to here, one makes an index while writes wait (docs/operations.md).
        asyncio.run(migrations.downgrade(url, BEFORE_NAMESPACES, LexicalEmbedder(384)))
        old = Stubs(previous.address)
        voted = old.create("voted on")
        old.vote(voted)
        load = Load()
        reads = {name: call for name, call in old.reads(voted).items() if name not in ("tag", "tagged")}
        with load.running(reads | {"write": old.add_and_change, "import": old.import_one}):
            time.sleep(1)
            migrated = run_command(tmp_path, "migrate")
            time.sleep(1)
        assert (migrated.returncode, migrated.stderr) == (0, "")
        assert load.failures == []
        assert min(load.done.values()) > 2

        (tmp_path / "newest").mkdir()
        with ServerProcess(tmp_path / "newest", DATABASE_URL=url) as newest:
            new = Stubs(newest.address)
            request = namespaces_pb.CreateNamespaceRequest(name="vault")
            with pytest.raises(grpc.RpcError) as refused:
                new.namespaces.CreateNamespace(request, timeout=SECONDS)
            assert "NAMESPACES_DISABLED" in str(refused.value)
            # Both serve, as long as there is one namespace.
            new.add_and_change()
            old.add_and_change()

            enabled = run_command(tmp_path, "namespaces", "enable")
            assert (enabled.returncode, enabled.stderr) == (0, "")
            new.namespaces.CreateNamespace(request, timeout=SECONDS)
            secret = new.create(f"{HIDDEN} in the cupboard", namespace="vault", tags=(HIDDEN,))
            new.vote(secret)
            new.add_and_change()
            for name, read in new.reads(secret).items():
                assert HIDDEN in str(read()) or name in ("votes", "vote", "like"), name
            for name, read in old.reads(secret).items():
                failure = _failure_of(read)
                assert failure.code() is grpc.StatusCode.INTERNAL, name
                assert HIDDEN not in str(failure), name
            for name, write in old.writes(secret).items():
                assert _failure_of(write).code() is grpc.StatusCode.INTERNAL, name
            events = old.traces.WatchTraces(trace_event_pb2.WatchTracesRequest(), timeout=SECONDS)
            assert _failure_of(lambda: list(events)).code() is grpc.StatusCode.INTERNAL


def _failure_of(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as failed:
        call()
    return failed.value
