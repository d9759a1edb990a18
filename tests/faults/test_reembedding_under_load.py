"""A database changes its model again and again under two servers that search, store and edit all the time."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from commontrace.domain.traces.contribution import embedding_text
from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.database import Database
from commontrace.v1 import trace_pb2
from commontrace.v1 import trace_service_pb2 as pb
from tests.conftest import RunningServer, ServerFactory, server_settings
from tests.integration.storage.reembedding_runs import every_vector_is_of, move_to
from tests.support.builders import a_contribution, hits_of, search

TAGS = [f"group-{number}" for number in range(6)]
SEARCHERS, CONTRIBUTORS, EDITORS = 8, 2, 2
AT_FIRST = 30


@dataclass
class World:
    """Acknowledged writes. Texts of `edited` traces change; those of others stay as they were."""

    servers: list[RunningServer]
    random: Random = field(default_factory=lambda: Random(7))  # noqa: S311 - not a secret
    numbers: Any = field(default_factory=itertools.count)
    begun: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    stored: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    edited: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    is_over: bool = False

    @property
    def traces(self) -> Any:
        return self.random.choice(self.servers).traces

    async def contribute(self, *, is_edited: bool = False) -> None:
        number = next(self.numbers)
        tag = self.random.choice(TAGS)
        texts: dict[str, Any] = {
            "title": f"title{number}",
            "context": f"apple{number} pear{number}",
            "solution": f"plum{number}",
        }
        title = texts["title"]
        self.begun[tag].add(title)
        reply = await self.traces.CreateTrace(a_contribution(number, **texts, tags=[tag]), timeout=20)
        assert reply.created.title == title
        if is_edited:
            self.edited.append(reply.created.id)
        else:
            self.stored[tag][title] = reply.created.id
        self.counts["contributed"] += 1

    async def edit(self, trace_id: str) -> None:
        number = next(self.numbers)
        edit = trace_pb2.Trace(id=trace_id, context=f"edited{number} cherry{number}")
        request = pb.UpdateTraceRequest(trace=edit, update_mask=FieldMask(paths=["context"]))
        edited = (await self.traces.UpdateTrace(request, timeout=20)).trace
        text = embedding_text(edited.title, edited.context, edited.solution)
        found = hits_of(await search(self.traces, text=text, limit=3, exact=True))
        assert trace_id == found[0].trace.id
        assert found[0].similarity > 0.999
        self.counts["edited"] += 1

    async def search(self) -> None:
        """Finds a trace by its own words first, and every other of its tag that is known to be stored."""
        tag = self.random.choice([tag for tag in TAGS if self.stored[tag]])
        known = dict(self.stored[tag])
        title = self.random.choice(list(known))
        words = title.removeprefix("title")
        text = embedding_text(title, f"apple{words} pear{words}", f"plum{words}")
        how: dict[str, Any] = {"trace_id": known[title]} if self.random.random() < 0.3 else {"text": text}
        responses = await search(
            self.traces, **how, filter={"tags_all": [tag]}, limit=1000, exact=self.random.random() < 0.3
        )
        hits, summary = hits_of(responses), responses[-1].summary
        similarities = [hit.similarity for hit in hits]
        assert similarities == sorted(similarities, reverse=True)
        titles = [hit.trace.title for hit in hits]
        assert len(titles) == len(set(titles))
        assert summary.stop_reason == pb.STOP_REASON_EXHAUSTED
        assert summary.exact
        missing = known.keys() - set(titles)
        if "text" in how:
            assert not missing, (len(missing), len(known))
            assert titles[0] == title
            assert similarities[0] > 0.999
        else:
            assert missing == {title}, (len(missing), len(known))
        assert set(titles) <= self.begun[tag]
        self.counts["searched"] += 1

    async def find_approximately(self) -> None:
        tag = self.random.choice([tag for tag in TAGS if self.stored[tag]])
        title = self.random.choice(list(self.stored[tag]))
        words = title.removeprefix("title")
        text = embedding_text(title, f"apple{words} pear{words}", f"plum{words}")
        hits = hits_of(await search(self.traces, text=text, limit=5))
        assert (len(hits), hits[0].trace.title) == (5, title)
        assert hits[0].similarity > 0.999
        self.counts["found approximately"] += 1

    async def keep_searching(self, number: int) -> None:
        while not self.is_over:
            await (self.search() if number % 2 else self.find_approximately())

    async def keep_contributing(self) -> None:
        while not self.is_over:
            await self.contribute()
            await asyncio.sleep(0.2)

    async def keep_editing(self, trace_ids: list[str]) -> None:
        for trace_id in itertools.cycle(trace_ids):
            if self.is_over:
                return
            await self.edit(trace_id)
            await asyncio.sleep(0.2)


@asynccontextmanager
async def at_work(start_server: ServerFactory, url: str, model: Embedder) -> AsyncIterator[World]:
    """Two servers under load. Whatever fails there fails the block."""
    async with AsyncExitStack() as stack:
        servers = []
        for _ in range(2):
            database = Database(url)
            stack.push_async_callback(database.close)
            servers.append(
                await stack.enter_async_context(
                    start_server(settings=server_settings(), database=database, embedder=model)
                )
            )
        world = World(servers)
        for number in range(AT_FIRST):
            await world.contribute(is_edited=number % 5 == 0)
        async with asyncio.TaskGroup() as tasks:
            for number in range(SEARCHERS):
                tasks.create_task(world.keep_searching(number))
            for _ in range(CONTRIBUTORS):
                tasks.create_task(world.keep_contributing())
            for number in range(EDITORS):
                tasks.create_task(world.keep_editing(world.edited[number::EDITORS]))
            yield world
            world.is_over = True


@pytest.mark.parametrize("postgres_version", ["18"], indirect=True)
async def test_every_search_is_complete_and_no_write_is_lost(
    start_server: ServerFactory,
    empty_database_url: str,
    embedder: Embedder,
    record_property: Callable[[str, object], None],
) -> None:
    first = LexicalEmbedder(384)
    await migrations.upgrade(empty_database_url, first)
    async with at_work(start_server, empty_database_url, first) as world:
        for model in (LexicalEmbedder(96), embedder):
            await asyncio.sleep(0.3)
            assert await move_to(model, empty_database_url) is not None
            await asyncio.sleep(0.3)
            for server in world.servers:
                info = await server.traces.GetServiceInfo(pb.GetServiceInfoRequest())
                assert info.embedding_model.dimensions == model.dimensions
    assert await every_vector_is_of(embedder, empty_database_url) == world.counts["contributed"]
    record_property("counted", dict(world.counts))
    assert min(world.counts.values()) > 5
