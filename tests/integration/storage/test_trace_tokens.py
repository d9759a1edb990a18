"""Tokens of traces: stored with the vector by whatever stores one, and never those of another text or model."""

from typing import Any
from uuid import UUID

import pytest

from commontrace.core.encoding import reembed
from commontrace.core.encoding.queue import requeue
from commontrace.core.encoding.worker import drain_queue
from commontrace.core.traces import moderate as trace_moderation
from commontrace.core.traces import update as trace_update
from commontrace.core.traces.update import Edit
from commontrace.domain.namespaces.access import COMMONS_ONLY
from commontrace.domain.traces.contribution import Contribution, embedding_text
from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.embeddings.local.model import LocalModel, find_model_directory
from commontrace.embeddings.local.text_reading import BY_TOKENS
from commontrace.embeddings.token_signs import TokenSigns
from commontrace.serving import bootstrap
from commontrace.serving.bootstrap import Postgres
from commontrace.settings import LEASE_SECONDS
from commontrace.storage.database import Database
from commontrace.storage.search.trace_tokens import TokensOfRevision
from tests.conftest import administer, query
from tests.integration.storage.reembedding_runs import every_vector_is_of, move_to
from tests.integration.storage.storing import EMAIL, contributed, stored
from tests.support.commons import IN_COMMONS
from tests.support.told_embedder import ToldEmbedder

TEXTS = Contribution(title="Pool", context="exhausted", solution="close it", metadata={})
VERSIONS = "SELECT model_version, count(*) FROM trace_tokens GROUP BY model_version ORDER BY model_version"


async def tokens_of(database: Database, trace_id: UUID, version: str) -> bytes | None:
    found = await database.read(
        lambda reading: reading.trace_tokens.get_many([trace_id], IN_COMMONS, model_version=version)
    )
    return found.get(trace_id)


async def signs(embedder: Embedder, *texts: str) -> TokenSigns:
    [embedding] = await embedder.encode([embedding_text(*texts)])
    assert embedding.token_signs is not None
    return embedding.token_signs


async def save(database: Database, tokens: TokensOfRevision, version: str) -> None:
    async with database.unit_of_work() as work:
        await work.trace_tokens.save([tokens], model_version=version)


async def test_tokens_are_of_one_revision_and_one_model(
    database: Database, database_url: str, embedder: Embedder
) -> None:
    trace_id = await stored(database)
    first, second = await signs(embedder, "one", "two", "three"), await signs(embedder, "four", "", "")
    await save(database, TokensOfRevision(trace_id, 1, first), "v-2")
    assert await tokens_of(database, trace_id, "v-2") == first.to_bytes()
    assert await tokens_of(database, trace_id, "v-3") is None
    await administer(database_url, "UPDATE traces SET revision = 2")
    assert await tokens_of(database, trace_id, "v-2") is None
    # Somebody who is late with the tokens of the text before.
    await save(database, TokensOfRevision(trace_id, 1, first), "v-2")
    assert await tokens_of(database, trace_id, "v-2") is None
    await save(database, TokensOfRevision(trace_id, 2, second), "v-2")
    assert await tokens_of(database, trace_id, "v-2") == second.to_bytes()
    await save(database, TokensOfRevision(trace_id, 2, None), "v-2")
    assert await tokens_of(database, trace_id, "v-2") == second.to_bytes()


async def test_a_contribution_an_edit_and_a_purge(database: Database, database_url: str, embedder: Embedder) -> None:
    trace_id = await contributed(TEXTS, EMAIL, database, embedder)
    expected = await signs(embedder, TEXTS.title, TEXTS.context, TEXTS.solution)
    assert await tokens_of(database, trace_id, embedder.model_version) == expected.to_bytes()
    edit = Edit(trace_id=trace_id, values={"title": "Sockets"})
    prepared = await trace_update.prepare(edit, EMAIL, COMMONS_ONLY, database=database, embedder=embedder)
    async with database.unit_of_work() as work:
        await prepared.store(work, await work.users.get_or_create(EMAIL))
    expected = await signs(embedder, "Sockets", TEXTS.context, TEXTS.solution)
    assert await tokens_of(database, trace_id, embedder.model_version) == expected.to_bytes()
    async with database.unit_of_work() as work:
        await trace_moderation.purge(trace_id, work, EMAIL, COMMONS_ONLY)
    assert await query(database_url, VERSIONS) == []


async def test_the_queue_fills_what_is_missing_and_keeps_the_vector(
    database: Database, database_url: str, embedder: Embedder
) -> None:
    model = {"embedding_model_id": embedder.model_id, "embedding_model_version": embedder.model_version}
    trace_id = await stored(database, **model)
    vector = "SELECT embedding::text FROM traces"
    before = await query(database_url, vector)
    assert await requeue(database) == 1
    # Found already, so it is not among those that wait for their vector.
    assert (await database.read(lambda reading: reading.encoding_jobs.get_state())).waiting == 0
    asked = ToldEmbedder(embedder)
    assert (await drain_queue(database, asked, lease_seconds=LEASE_SECONDS)).encoded == 1
    assert await query(database_url, vector) == before
    assert await tokens_of(database, trace_id, embedder.model_version) is not None
    assert await requeue(database) == 0


async def test_what_no_search_finds_is_encoded_before_what_lacks_its_tokens_alone(
    database: Database, embedder: Embedder
) -> None:
    model = {"embedding_model_id": embedder.model_id, "embedding_model_version": embedder.model_version}
    found = [await stored(database, **model) for _ in range(3)]
    assert await requeue(database) == 3
    lost = await stored(database, embedding=None, embedding_model_id=None, embedding_model_version=None)
    async with database.unit_of_work() as work:
        await work.encoding_jobs.enqueue(lost)
    async with database.unit_of_work() as work:
        leased = [job.trace_id for job in await work.encoding_jobs.lease(1, lease_seconds=LEASE_SECONDS)]
        leased += [job.trace_id for job in await work.encoding_jobs.lease(9, lease_seconds=LEASE_SECONDS)]
    assert leased[0] == lost
    assert sorted(leased[1:]) == sorted(found)


async def test_a_lexical_database_has_none_and_misses_none(database: Database, database_url: str) -> None:
    await stored(database)
    assert await move_to(LexicalEmbedder(96), database_url) == 1
    assert await requeue(database) == 0
    assert await query(database_url, VERSIONS) == []


@pytest.fixture
def older() -> LocalModel:
    """The local model as it read texts before."""
    directory = find_model_directory()
    assert directory is not None
    return LocalModel.load(directory, reading=BY_TOKENS)


async def test_re_encoding_brings_them_and_takes_them_away(
    database: Database, database_url: str, embedder: Embedder, older: LocalModel
) -> None:
    for number in range(5):
        await stored(database, title=f"title{number}", context="word " * 300)
    assert await move_to(older, database_url) == 5
    assert await query(database_url, VERSIONS) == []
    assert await move_to(embedder, database_url) == 5
    assert await every_vector_is_of(embedder, database_url) == 5
    assert await query(database_url, VERSIONS) == [(embedder.model_version, 5)]
    assert await requeue(database) == 0
    assert await move_to(older, database_url) == 5
    assert await query(database_url, VERSIONS) == []
    await older.close()


async def test_a_re_encoding_that_is_given_up_leaves_none(
    database: Database, database_url: str, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(database)
    await move_to(LexicalEmbedder(96), database_url)
    async with bootstrap.reembedding(Postgres(url=database_url, is_embedded=False)) as steps:

        async def broken_off() -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(steps, "build_indexes", broken_off)
        with pytest.raises(KeyboardInterrupt):
            await reembed.reembed(steps, embedder, on_progress=lambda _done, _total: None)
        assert await query(database_url, VERSIONS) == [(embedder.model_version, 1)]
        await reembed.cancel(steps)
    assert await query(database_url, VERSIONS) == []
