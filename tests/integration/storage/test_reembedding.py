"""Moving a database to another model, step by step, on each Postgres."""

import asyncio
import re
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from commontrace.core.encoding import reembed
from commontrace.core.encoding.reembed import ReembeddingRefused
from commontrace.core.search.service import SearchService
from commontrace.domain.deadline import NEVER
from commontrace.domain.errors import CommonTraceError, ModelReplaced
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.search.query import Search, StopReason
from commontrace.domain.traces.contribution import embedding_text
from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, Embedding
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.embeddings.query_cache import QueryCache
from commontrace.serving import bootstrap
from commontrace.serving.bootstrap import Postgres
from commontrace.storage import migrations
from commontrace.storage.database import Database
from commontrace.storage.encoding.reembedding_lock import ReembeddingInProgress
from tests.conftest import administer, query
from tests.integration.storage.reembedding_runs import every_vector_is_of, move_to
from tests.integration.storage.storing import stored
from tests.integration.storage.test_migrations import GOLDEN, schema
from tests.support.served_models import unchanging

OTHER = LexicalEmbedder(96)
MODELS = "SELECT id, dimensions, is_current FROM embedding_models ORDER BY is_current DESC"
CUT = "the power went off"


class CutOff(Exception):
    """Raised by a test to break a run off."""


class Renamed:
    """A model that differs from another in nothing but its version, and its vectors."""

    def __init__(self, model: Embedder, version: str) -> None:
        self._model = model
        self.model_id, self.model_version = model.model_id, version
        self.dimensions, self.is_lexical = model.dimensions, model.is_lexical

    async def encode(self, texts: Any) -> list[Embedding]:
        return [
            Embedding(vector=-embedding.vector, tokens_read=0, tokens_total=0)
            for embedding in await self._model.encode(texts)
        ]

    async def close(self) -> None:
        pass


async def fill(database: Database, count: int = 40) -> None:
    """Traces of every kind, some of them deleted, one without a vector."""
    for number in range(count):
        await stored(database, title=f"title{number}", context=f"apple{number}", solution=f"plum{number}")
    url = database._read_engine.url.render_as_string(hide_password=False)
    await administer(url, "UPDATE traces SET deleted_at = now() WHERE title LIKE '%7'")
    unset = "embedding = NULL, embedding_model_id = NULL, embedding_model_version = NULL"
    await administer(url, f"UPDATE traces SET {unset} WHERE title = 'title3'")  # noqa: S608 - our own names
    await administer(url, "INSERT INTO encoding_jobs (trace_id) SELECT id FROM traces WHERE title = 'title3'")


def by_table(text: str) -> list[str]:
    return sorted(text.splitlines())


async def test_the_schema_is_the_same_but_for_its_dimension(database: Database, database_url: str) -> None:
    await fill(database)
    for model in (OTHER, Renamed(OTHER, "2"), LexicalEmbedder(1536), LexicalEmbedder(384)):
        assert await move_to(model, database_url) == 40
        golden = re.sub(r"(vector|halfvec)\(384\)", rf"\1({model.dimensions})", GOLDEN.read_text(encoding="utf-8"))
        assert by_table(await schema(database_url)) == by_table(golden)
        assert await query(database_url, MODELS) == [("lexical-hash", model.dimensions, True)]
        assert await every_vector_is_of(model, database_url) == 40
        assert await query(database_url, "SELECT * FROM encoding_jobs") == []
        unvalidated = "SELECT conname FROM pg_constraint WHERE NOT convalidated"
        assert await query(database_url, unvalidated) == []
        assert await move_to(model, database_url) is None
    # Everything in its old order goes on, too.
    assert await migrations.downgrade(database_url, "0001_initial_schema", LexicalEmbedder(384))
    assert await migrations.upgrade(database_url, LexicalEmbedder(384))


@pytest.mark.parametrize("number", range(1, 12))
async def test_broken_off_after_any_statement_it_goes_on(
    database: Database, database_url: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is broken off by its connections, as a crash would; then it is run to its end."""
    await fill(database, 10)
    model, seen = OTHER, 0

    async with bootstrap.reembedding(Postgres(url=database_url, is_embedded=False)) as steps:
        for name in (
            "start",
            "validate",
            "list_window",
            "save_embeddings",
            "build_indexes",
            "list_missing",
            "count_traces",
            "delete_unused_tokens",
            "analyze",
        ):
            original = getattr(steps, name)

            def cutting(original: Any = original) -> Any:
                async def step(*arguments: Any) -> Any:
                    nonlocal seen
                    seen += 1
                    if seen == number:
                        raise CutOff(CUT)
                    result = await original(*arguments)
                    seen += 1
                    if seen == number:
                        raise CutOff(CUT)
                    return result

                return step

            monkeypatch.setattr(steps, name, cutting())
        with suppress(CutOff):
            await reembed.reembed(steps, model, on_progress=lambda _done, _total: None)
    await move_to(model, database_url)
    assert await every_vector_is_of(model, database_url) == 10
    assert await query(database_url, MODELS) == [("lexical-hash", 96, True)]


async def test_an_index_that_was_broken_off_is_built_anew(database: Database, database_url: str) -> None:
    await fill(database)
    async with bootstrap.reembedding(Postgres(url=database_url, is_embedded=False)) as steps:
        await steps.start(OTHER)
        await steps.build_indexes()
        for name in ("ix_traces_next_embedding_hnsw", "ix_traces_next_embedding_missing"):
            invalid = f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass"  # noqa: S608 - ours
            await administer(database_url, invalid)
        with pytest.raises(ReembeddingInProgress, match="another `commontrace reembed` is at work"):
            await move_to(OTHER, database_url)
    assert await move_to(OTHER, database_url) == 40
    assert "(96)" in await schema(database_url)
    assert await query(database_url, "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid") == []


async def test_an_index_of_the_version_before_is_built_anew(database: Database, database_url: str) -> None:
    await fill(database)
    async with bootstrap.reembedding(Postgres(url=database_url, is_embedded=False)) as steps:
        with pytest.raises(ModelReplaced, match="no longer being moved"):
            await steps.build_indexes()
        await steps.start(OTHER)
    await administer(
        database_url,
        "CREATE INDEX ix_traces_next_embedding_hnsw ON traces USING hnsw (next_embedding vector_cosine_ops)",
    )
    assert await move_to(OTHER, database_url) == 40
    held = "SELECT pg_get_indexdef('ix_traces_embedding_hnsw'::regclass, 1, true)"
    assert await query(database_url, held) == [("(embedding::halfvec(96))",)]


async def test_what_is_edited_after_it_was_encoded_is_encoded_again(database: Database, database_url: str) -> None:
    await fill(database)
    edit = "UPDATE traces SET context_text = 'changed', revision = revision + 1 WHERE title LIKE '%1'"

    class EditedMeanwhile(LexicalEmbedder):
        edits = 0

        async def encode(self, texts: Any) -> list[Embedding]:
            embeddings = await super().encode(texts)
            # Read, encoded, and not yet written: the text is another by then.
            if self.edits < 3:
                self.edits += 1
                await administer(database_url, edit)
            return embeddings

    assert await move_to(EditedMeanwhile(96), database_url) == 40
    assert await every_vector_is_of(OTHER, database_url) == 40


async def test_writers_who_never_rest_do_not_keep_it_from_ending(database: Database, database_url: str) -> None:
    await fill(database)

    async def write() -> None:
        while True:
            await administer(
                database_url, "UPDATE traces SET context_text = context_text || '.', revision = revision + 1"
            )

    class Slow(LexicalEmbedder):
        async def encode(self, texts: Any) -> list[Embedding]:
            await asyncio.sleep(0.05)
            return await super().encode(texts)

    await administer(database_url, "DELETE FROM encoding_jobs")
    for table in ("trace_revisions", "traces"):
        await administer(database_url, f"DELETE FROM {table} WHERE title NOT LIKE 'title1%'")  # noqa: S608 - our names
    writing = asyncio.create_task(write())
    try:
        assert await move_to(Slow(96), database_url) == 11
    finally:
        writing.cancel()
    await asyncio.wait([writing])


async def test_giving_up_leaves_nothing(database: Database, database_url: str) -> None:
    await fill(database)
    golden = await schema(database_url)
    async with bootstrap.reembedding(Postgres(url=database_url, is_embedded=False)) as steps:
        assert await reembed.cancel(steps) is None
        await steps.start(OTHER)
        await steps.build_indexes()
        assert await schema(database_url) != golden
        for model in (LexicalEmbedder(384), LexicalEmbedder(95), Renamed(OTHER, "2")):
            with pytest.raises(
                ReembeddingRefused, match=r"moved to lexical-hash 1 \(96 dimensions\), not to .*--cancel"
            ):
                await reembed.reembed(steps, model, on_progress=lambda _done, _total: None)
        given_up = await reembed.cancel(steps)
        assert given_up is not None
        assert given_up.dimensions == 96
        with pytest.raises(CommonTraceError, match="no longer being moved"):
            async with steps.cutover() as cutover:
                await cutover.swap(OTHER)
    assert await schema(database_url) == golden


async def test_it_waits_for_an_embedder_that_is_away(database: Database, database_url: str) -> None:
    await fill(database)

    class Away(LexicalEmbedder):
        failures = 2

        async def encode(self, texts: Any) -> list[Embedding]:
            if self.failures:
                self.failures -= 1
                raise EmbedderUnavailable(retry_after=0.01)
            return await super().encode(texts)

    assert await move_to(Away(96), database_url) == 40
    assert await every_vector_is_of(OTHER, database_url) == 40


async def test_an_embedder_is_tried_again_when_it_says(database: Database, database_url: str) -> None:
    await fill(database, 1)
    asked = asyncio.Event()

    class Away(LexicalEmbedder):
        async def encode(self, _texts: Any) -> list[Embedding]:
            asked.set()
            raise EmbedderUnavailable(retry_after=200.0)

    with capture_logs() as logs:
        moving = asyncio.ensure_future(move_to(Away(96), database_url))
        await asyncio.wait_for(asked.wait(), 20)
        await asyncio.sleep(0.05)
        moving.cancel()
        await asyncio.gather(moving, return_exceptions=True)
    [seconds] = [line["seconds"] for line in logs if "waiting for the embedder" in line["event"]]
    # Not before it says so, and not all at the same moment.
    assert 200.0 < seconds <= 201.0


async def test_a_search_of_the_old_model_is_refused_or_finds_nothing(database: Database, database_url: str) -> None:
    await fill(database)
    await move_to(OTHER, database_url)

    async def ask(model: Embedder) -> Any:
        text = embedding_text("title1", "apple1", "plum1")
        searches = SearchService(database, unchanging(model))
        return await searches.find_nearest(
            Search(query=text, limit=5), COMMONS_ONLY, deadline=NEVER, queries=QueryCache(model), model=model
        )

    assert (await ask(OTHER)).stop_reason is StopReason.LIMIT
    with pytest.raises(ModelReplaced):
        await ask(LexicalEmbedder(384))
    assert (await ask(Renamed(OTHER, "2"))).neighbours == []
    vector = np.zeros(384, dtype=np.float32)
    vector[0] = 1
    with pytest.raises(ModelReplaced):
        await stored(database, embedding=vector)
