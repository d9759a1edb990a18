"""Random operations of eight clients at once against a model in memory: every answer agrees.

Clients of one trace or one content take turns, so that the model knows the order; everything else runs at once.
"""

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2

from commontrace.v1 import tag_service_pb2 as tag_pb
from commontrace.v1 import trace_filter_pb2, trace_pb2, vote_pb2
from commontrace.v1 import trace_service_pb2 as pb
from commontrace.v1 import vote_service_pb2 as vote_pb
from commontrace.v1.tag_service_pb2_grpc import TagServiceStub
from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from commontrace.v1.vote_service_pb2_grpc import VoteServiceStub
from tests.contract.callers import caller
from tests.contract.errors.error_promises import details
from tests.contract.model import THRESHOLD, Model, ModelTrace, ModelVote, Refused
from tests.faults.server_process import ServerProcess
from tests.support.builders import hits_of, search
from tests.support.trace_signs import out_of_date

# `OPERATIONS=20000 make test ARGS=...` goes on for longer.
OPERATIONS = {"18": 1_500, "16": 600}
# Without the neural model, most of the time of a write passes where writes meet.
SETTINGS = {"EMBEDDER": "lexical", "EMBEDDING_DIMENSIONS": "64", "LOG_LEVEL": "error"}
SETTINGS |= {"VALIDATION_THRESHOLD": str(THRESHOLD)}
REASONS = {
    *("OK", "TRACE_NOT_FOUND", "VOTE_NOT_FOUND", "NOT_OWNER", "OWN_TRACE", "STALE_ETAG", "REVISION_NOT_CURRENT"),
    *("DUPLICATE_TRACE", "ALREADY_SUPERSEDED"),
}
CLIENTS = 8
TAGS = [f"tag-{number}" for number in range(24)]
MERGES = 12

STATUS = {"pending": trace_pb2.TRACE_STATUS_PENDING, "validated": trace_pb2.TRACE_STATUS_VALIDATED}
VOTE = {"up": vote_pb2.VOTE_TYPE_UP, "down": vote_pb2.VOTE_TYPE_DOWN}
REASON = {name.removeprefix("DOWN_REASON_").lower(): number for name, number in vote_pb2.DownReason.items()}
ON_DUPLICATE = {
    "return": trace_pb2.ON_DUPLICATE_RETURN_EXISTING,
    "reject": trace_pb2.ON_DUPLICATE_REJECT,
    "allow": trace_pb2.ON_DUPLICATE_ALLOW,
}


def is_current(trace: ModelTrace) -> bool:
    return not trace.superseded_by


class TraceLocks:
    """A readers-writer lock, and a lock per key: one holder of `exclusive` keeps out all holders of `shared`."""

    def __init__(self) -> None:
        self._keys: defaultdict[Any, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._condition = asyncio.Condition()
        self._sharing, self._is_exclusive = 0, False

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._condition:
            await self._condition.wait_for(lambda: not self._is_exclusive)
            self._sharing += 1
        try:
            yield
        finally:
            async with self._condition:
                self._sharing -= 1
                self._condition.notify_all()

    @asynccontextmanager
    async def keys(self, *keys: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for key in sorted({key for key in keys if key}):
                await stack.enter_async_context(self._keys[key])
            yield

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        async with self._condition:
            await self._condition.wait_for(lambda: not self._is_exclusive)
            self._is_exclusive = True
            await self._condition.wait_for(lambda: self._sharing == 0)
        try:
            yield
        finally:
            async with self._condition:
                self._is_exclusive = False
                self._condition.notify_all()


class Stubs:
    """The services of one server."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.traces = TraceServiceStub(channel)
        self.votes = VoteServiceStub(channel)
        self.tags = TagServiceStub(channel)


class Client:
    """One user who does something at random, and compares."""

    def __init__(self, name: int, server: Stubs, model: Model, locks: TraceLocks, chance: random.Random) -> None:
        self.user = f"user{name}@example.org"
        self.options: dict[str, Any] = {"metadata": caller(name), "timeout": 20}
        self.server, self.model, self.locks, self.chance = server, model, locks, chance
        self.done: Counter[str] = Counter()
        self.user_ids: dict[str, str] = {}

    async def act(self) -> None:
        doing: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (12, self.create), (12, self.get), (5, self.batch_get), (12, self.update), (4, self.delete),
            (4, self.undelete), (30, self.vote), (8, self.retract), (6, self.my_vote), (4, self.votes),
            (4, self.history), (3, self.resolve),
        ]  # fmt: skip
        looking = [self.list, self.list, self.search, self.search, self.list_tags]
        if self.chance.random() < 0.015:
            async with self.locks.exclusive():
                await self.chance.choice(looking)()
        else:
            [act] = self.chance.choices([act for _, act in doing], [weight for weight, _ in doing])
            async with self.locks.shared():
                await act()

    def some_trace(self) -> str:
        return self.chance.choice(list(self.model.traces) or ["00000000-0000-0000-0000-000000000000"])

    def some_fields(self) -> dict[str, Any]:
        return {
            "title": f"Title {self.chance.randrange(60)}",
            "context": f"Context {self.chance.randrange(3)}",
            "solution": f"Solution {self.chance.randrange(2)}",
            "tags": self.some_tags(),
            "agent_model": self.chance.choice(["", "one", "two"]),
            "metadata": self.chance.choice([{}, {"a": 1.0}, {"a": {"b": "c"}}]),
        }

    def some_tags(self) -> list[str]:
        return [name.upper() if self.chance.random() < 0.2 else name for name in self.chance.sample(TAGS, k=2)]

    async def agree(self, expected: Callable[[], Any], call: Awaitable[Any]) -> tuple[Any, Any]:
        """The model's and the server's answer, None and None where both refuse for the same reason."""
        try:
            wanted, reason = expected(), "OK"
        except Refused as refusal:
            wanted, reason = None, str(refusal)
        try:
            got, found = await call, "OK"
        except grpc.aio.AioRpcError as error:
            infos = details(error, error_details_pb2.ErrorInfo)
            got, found = None, infos[0].reason if infos else str(error)
        assert found == reason
        self.done[reason] += 1
        return wanted, got

    def same(self, got: trace_pb2.Trace, wanted: ModelTrace, *, full: bool = True) -> None:
        up, down = wanted.tally
        assert got.id == wanted.id
        assert got.title == wanted.fields["title"]
        assert (got.context, got.solution) == ((wanted.content[1:]) if full else ("", ""))
        assert sorted(got.tags) == wanted.fields["tags"]
        assert got.agent_model == wanted.fields["agent_model"]
        assert MessageToDict(got.metadata) == wanted.fields["metadata"]
        assert (got.revision, got.etag) == (wanted.revision, f"e{wanted.edit}")
        assert (got.confirmation_count, got.down_count) == (up, down)
        assert got.trust_score == pytest.approx(wanted.trust, abs=1e-9)
        assert got.status == STATUS[wanted.status]
        assert (got.supersedes_trace_id, got.superseded_by_trace_id) == (wanted.supersedes, wanted.superseded_by)
        assert got.HasField("delete_time") == wanted.is_deleted
        assert self.user_ids.setdefault(wanted.owner, got.contributor_id) == got.contributor_id

    async def create(self) -> None:
        fields = self.some_fields()
        on_duplicate = self.chance.choices(list(ON_DUPLICATE), [5, 4, 1])[0]
        supersedes = self.own_or_some() if self.model.traces and self.chance.random() < 0.5 else ""
        request = pb.CreateTraceRequest(
            **fields, on_duplicate=ON_DUPLICATE[on_duplicate], supersedes_trace_id=supersedes
        )
        content = "/".join(fields[name] for name in ("title", "context", "solution"))
        async with self.locks.keys(supersedes), self.locks.keys(content):
            # Both traces that may be answered with could be changed by others who hold their key.
            existing = self.model.holder_of(tuple(content.split("/")))
            call = self.server.traces.CreateTrace(request, **self.options)
            wanted, got = await self.agree(
                lambda: (self.model.may_create(self.user, fields, on_duplicate, supersedes),), call
            )
            if got is None:
                return
            if wanted[0] is None:
                self.model.create(got.created.id, self.user, fields, on_duplicate, supersedes)
                self.same(got.created, self.model.traces[got.created.id])
            else:
                assert existing is not None
                assert got.existing.id == existing.id

    async def get(self) -> None:
        trace_id = self.some_trace()
        async with self.locks.keys(trace_id):
            call = self.server.traces.GetTrace(pb.GetTraceRequest(trace_id=trace_id), **self.options)
            wanted, got = await self.agree(lambda: self.model.live(trace_id), call)
            if got is not None:
                self.same(got.trace, wanted)

    async def batch_get(self) -> None:
        ids = [self.some_trace() for _ in range(3)]
        request = pb.BatchGetTracesRequest(trace_ids=ids, view=trace_pb2.TRACE_VIEW_BASIC)
        async with self.locks.keys(*ids):
            got = await self.server.traces.BatchGetTraces(request, **self.options)
            assert [item.trace_id for item in got.items] == ids
            for trace_id, item in zip(ids, got.items, strict=True):
                trace = self.model.traces.get(trace_id)
                if trace is None or trace.is_deleted:
                    assert item.error.code == grpc.StatusCode.NOT_FOUND.value[0]
                else:
                    self.same(item.trace, trace, full=False)
            self.done["OK"] += 1

    @asynccontextmanager
    async def holding_contents(self, trace_id: str, **changes: Any) -> AsyncIterator[None]:
        """Holds a trace, the one it replaces, and the contents that it leaves and takes."""
        trace = self.model.traces.get(trace_id)
        async with self.locks.keys(trace_id, trace.supersedes if trace is not None else ""):
            contents = []
            if trace is not None:
                contents = ["/".join(trace.content)]
                after = trace.fields | changes
                contents.append("/".join(after[name] for name in ("title", "context", "solution")))
            async with self.locks.keys(*contents):
                yield

    def some_etag(self, trace_id: str) -> str:
        trace = self.model.traces.get(trace_id)
        return self.chance.choice(["", "", f"e{trace.edit}" if trace is not None else "", "e0"])

    async def update(self) -> None:
        trace_id, fields = self.own_or_some(), self.some_fields()
        changes = {name: fields[name] for name in self.chance.sample(list(fields), k=2)}
        async with self.holding_contents(trace_id, **changes):
            etag = self.some_etag(trace_id)
            request = pb.UpdateTraceRequest(
                trace=trace_pb2.Trace(id=trace_id, **changes), update_mask=FieldMask(paths=list(changes)), etag=etag
            )
            wanted, got = await self.agree(
                lambda: self.model.update(trace_id, self.user, changes, etag),
                self.server.traces.UpdateTrace(request, **self.options),
            )
            if got is not None:
                self.same(got.trace, wanted)

    def own_or_some(self) -> str:
        own = [trace.id for trace in self.model.traces.values() if trace.owner == self.user]
        return self.chance.choice(own) if own and self.chance.random() < 0.8 else self.some_trace()

    async def delete(self) -> None:
        trace_id = self.own_or_some()
        async with self.holding_contents(trace_id):
            etag = self.some_etag(trace_id)
            request = pb.DeleteTraceRequest(trace_id=trace_id, etag=etag)
            wanted, got = await self.agree(
                lambda: self.model.delete(trace_id, self.user, etag),
                self.server.traces.DeleteTrace(request, **self.options),
            )
            if got is not None:
                self.same(got.trace, wanted, full=False)

    async def undelete(self) -> None:
        deleted = [trace.id for trace in self.model.traces.values() if trace.is_deleted and trace.owner == self.user]
        if not self.model.traces:
            return
        trace_id = self.chance.choice(deleted) if deleted else self.some_trace()
        async with self.holding_contents(trace_id):
            wanted, got = await self.agree(
                lambda: self.model.undelete(trace_id, self.user),
                self.server.traces.UndeleteTrace(pb.UndeleteTraceRequest(trace_id=trace_id), **self.options),
            )
            if got is not None:
                self.same(got.trace, wanted, full=False)

    def same_tally(self, got: vote_pb2.TraceTally, wanted: ModelTrace) -> None:
        assert (got.trace_id, got.revision) == (wanted.id, wanted.revision)
        assert (got.confirmation_count, got.down_count) == wanted.tally
        assert got.status == STATUS[wanted.status]
        assert got.trust_score == pytest.approx(wanted.trust, abs=1e-9)

    def same_vote(self, got: vote_pb2.Vote, wanted: ModelVote) -> None:
        assert (got.type, got.reason) == (VOTE[wanted.type], REASON[wanted.reason])
        assert (got.comment, got.revision) == (wanted.comment, wanted.revision)

    async def vote(self) -> None:
        trace_id = self.some_trace()
        async with self.locks.keys(trace_id):
            trace = self.model.traces.get(trace_id)
            kind = self.chance.choice(["up", "up", "down"])
            vote = ModelVote(
                type=kind,
                reason=self.chance.choice(["outdated", "incorrect", "spam"]) if kind == "down" else "unspecified",
                comment=self.chance.choice(["", "It worked."]),
                revision=self.chance.choice([0, 0, trace.revision if trace is not None else 1, 7]),
            )
            request = vote_pb.CastVoteRequest(
                trace_id=trace_id,
                type=VOTE[vote.type],
                reason=REASON[vote.reason],
                comment=vote.comment,
                revision=vote.revision,
            )
            wanted, got = await self.agree(
                lambda: self.model.vote(trace_id, self.user, vote), self.server.votes.CastVote(request, **self.options)
            )
            if got is not None:
                self.same_tally(got.tally, wanted)
                self.same_vote(got.vote, vote)

    async def retract(self) -> None:
        trace_id = self.some_trace()
        async with self.locks.keys(trace_id):
            wanted, got = await self.agree(
                lambda: self.model.retract(trace_id, self.user),
                self.server.votes.RetractVote(vote_pb.RetractVoteRequest(trace_id=trace_id), **self.options),
            )
            if got is not None:
                self.same_tally(got.tally, wanted)

    async def my_vote(self) -> None:
        trace_id = self.some_trace()
        async with self.locks.keys(trace_id):
            wanted, got = await self.agree(
                lambda: self.model.vote_of(trace_id, self.user),
                self.server.votes.GetVote(vote_pb.GetVoteRequest(trace_id=trace_id), **self.options),
            )
            if got is not None:
                self.same_vote(got.vote, wanted)

    async def votes(self) -> None:
        trace_id = self.some_trace()
        async with self.locks.keys(trace_id):
            wanted, got = await self.agree(
                lambda: self.model.live(trace_id),
                self.server.votes.ListVotes(vote_pb.ListVotesRequest(trace_id=trace_id), **self.options),
            )
            if got is not None:
                listed = Counter((vote.type, vote.revision, vote.comment) for vote in got.votes)
                assert listed == Counter((VOTE[v.type], v.revision, v.comment) for v in wanted.votes.values())

    async def history(self) -> None:
        trace_id = self.some_trace()
        request = pb.ListTraceRevisionsRequest(trace_id=trace_id, view=trace_pb2.TRACE_VIEW_FULL, page_size=500)
        async with self.locks.keys(trace_id):
            wanted, got = await self.agree(
                lambda: self.model.live(trace_id), self.server.traces.ListTraceRevisions(request, **self.options)
            )
            if got is not None:
                listed = [((r.title, r.context, r.solution), tuple(r.changed_fields)) for r in got.revisions]
                assert listed == wanted.history[::-1]

    async def resolve(self) -> None:
        spellings = self.some_tags()
        request = tag_pb.ResolveTagsRequest(names=spellings)
        got = await self.server.tags.ResolveTags(request, **self.options)
        assert [tag.name for tag in got.resolved] == [self.model.tag(name.lower()) for name in spellings]
        self.done["OK"] += 1

    async def pages(self, request: pb.ListTracesRequest) -> list[trace_pb2.Trace]:
        traces: list[trace_pb2.Trace] = []
        while True:
            page = await self.server.traces.ListTraces(request, **self.options)
            traces += page.traces
            if not page.next_page_token:
                return traces
            request.page_token = page.next_page_token

    def some_filter(self) -> tuple[trace_filter_pb2.TraceFilter, Callable[[ModelTrace], bool]]:
        tags = self.chance.sample(TAGS, k=2)
        names = set(self.model.tags(tags))
        status = self.chance.choice(list(STATUS))
        kind = self.chance.choice(["all", "any", "none", "status", "agent", "superseded", "metadata"])
        match kind:
            case "all":
                wanted = trace_filter_pb2.TraceFilter(tags_all=tags)
                return wanted, lambda trace: is_current(trace) and names <= set(trace.fields["tags"])
            case "any":
                wanted = trace_filter_pb2.TraceFilter(tags_any=tags)
                return wanted, lambda trace: is_current(trace) and bool(names & set(trace.fields["tags"]))
            case "none":
                wanted = trace_filter_pb2.TraceFilter(tags_none=tags)
                return wanted, lambda trace: is_current(trace) and not names & set(trace.fields["tags"])
            case "status":
                wanted = trace_filter_pb2.TraceFilter(statuses=[STATUS[status]])
                return wanted, lambda trace: is_current(trace) and trace.status == status
            case "agent":
                wanted = trace_filter_pb2.TraceFilter(agent_models=["one", "two"])
                return wanted, lambda trace: is_current(trace) and trace.fields["agent_model"] in ("one", "two")
            case "metadata":
                wanted = trace_filter_pb2.TraceFilter()
                wanted.metadata.update({"a": {"b": "c"}})
                return wanted, lambda trace: is_current(trace) and trace.fields["metadata"] == {"a": {"b": "c"}}
            case _:
                return trace_filter_pb2.TraceFilter(include_superseded=True), lambda _trace: True

    async def list(self) -> None:
        wanted, passes = self.some_filter()
        deleted = self.chance.random() < 0.3
        request = pb.ListTracesRequest(
            filter=wanted, show_deleted=deleted, page_size=self.chance.choice([1, 7, 50, 0, 1000])
        )
        if request.page_size == 1:
            request.page_size = 40
        listed = await self.pages(request)
        expected = {
            trace.id
            for trace in self.model.traces.values()
            if passes(trace) and (trace.owner == self.user if deleted else not trace.is_deleted)
        }
        assert {trace.id for trace in listed} == expected
        order = [(trace.create_time.ToNanoseconds(), trace.id) for trace in listed]
        assert order == sorted(order, reverse=True)
        assert len(order) == len(set(order))
        for trace in listed:
            self.same(trace, self.model.traces[trace.id], full=False)
        self.done["OK"] += 1

    async def search(self) -> None:
        wanted, passes = self.some_filter()
        limit = self.chance.choice([1, 5, 20, 1000])
        text = f"Title {self.chance.randrange(60)} Context"
        responses = await search(self.server.traces, text=text, filter=wanted, limit=limit)
        expected = {trace.id for trace in self.model.traces.values() if passes(trace) and not trace.is_deleted}
        found = [hit.trace for hit in hits_of(responses)]
        assert len(found) == min(limit, len(expected))
        assert {trace.id for trace in found} <= expected
        for trace in found:
            self.same(trace, self.model.traces[trace.id])
        similarities = [hit.similarity for hit in hits_of(responses)]
        assert similarities == sorted(similarities, reverse=True)
        self.done["OK"] += 1

    async def list_tags(self) -> None:
        page = await self.server.tags.ListTags(tag_pb.ListTagsRequest(page_size=500), **self.options)
        live = [trace for trace in self.model.traces.values() if not trace.is_deleted]
        counts = Counter(name for trace in live for name in trace.fields["tags"])
        assert {tag.name: tag.trace_count for tag in page.tags} == {name: counts[name] for name in self.model.names}
        self.done["OK"] += 1

    async def merge(self) -> None:
        source, target = self.chance.sample(TAGS, k=2)
        moved = self.model.merge(source, target)
        request = tag_pb.MergeTagsRequest(source=source, target=target)
        got = await self.server.tags.MergeTags(request, **self.options)
        assert (got.tag.name, got.moved_trace_count) == (self.model.tag(target), moved)
        self.done["OK"] += 1


@pytest.mark.slow
@pytest.mark.every_postgres
async def test_random_operations_agree_with_a_model(
    empty_database_url: str, postgres_version: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("OPERATIONS_SEED") or time.time_ns() % 1_000_000)
    record_property("counted", f"OPERATIONS_SEED={seed}")
    operations = int(os.environ.get("OPERATIONS") or OPERATIONS[postgres_version])
    model, locks = Model(), TraceLocks()
    remaining = iter(range(operations))
    with ServerProcess(tmp_path, "--migrate", DATABASE_URL=empty_database_url, **SETTINGS) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            clients = [
                Client(number, Stubs(channel), model, locks, random.Random(seed + number))  # noqa: S311 - no secret
                for number in range(CLIENTS)
            ]

            async def act(client: Client) -> None:
                for number in remaining:
                    if number % (operations // MERGES) == operations // MERGES - 1:
                        async with locks.exclusive():
                            await client.merge()
                    else:
                        await client.act()

            await asyncio.gather(*map(act, clients))
            for client in clients:
                async with locks.exclusive():
                    await client.list()
                    await client.search()
                    await client.list_tags()
    done: Counter[str] = sum((client.done for client in clients), Counter())
    assert done.keys() <= REASONS
    assert {trace.status for trace in model.traces.values()} == {"pending", "validated"}
    # By chance, fewer operations may miss a reason.
    assert operations < max(OPERATIONS.values()) or done.keys() == REASONS
    assert model.aliases
    assert await out_of_date(empty_database_url) == 0
    record_property("counted", f"{operations} operations on {len(model.traces)} traces: {dict(done)} ")
