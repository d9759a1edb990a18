"""Searches by the index of halves: vectors at the limits of 16 bits, and ranking by the full vectors (ADR 0062)."""

from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from commontrace.domain.search.neighbours import Neighbour, NeighbourQuery
from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.storage import migrations
from commontrace.storage.database import Database
from commontrace.storage.search.neighbours import candidate_count
from tests.integration.storage.search_corpora import MODEL, clustered, ids_of, insert, unit
from tests.support.commons import EVERY_TRACE


async def nearest(url: str, vector: Vector, limit: int) -> list[Neighbour]:
    """The nearest by the index; with rows or without, they are the same."""
    database = Database(url)
    query = NeighbourQuery(
        vector=vector,
        model_id=MODEL.model_id,
        model_version=MODEL.model_version,
        limit=limit,
        trace_filter=EVERY_TRACE,
    )
    found = await database.search(lambda search: search.neighbours(query, ef_search=64))
    hits = await database.search(lambda search: search.hits(query, ef_search=64, full=True))
    await database.close()
    assert [neighbour for neighbour, _ in hits] == found
    assert [trace.id for _, trace in hits] == ids_of(found)
    return found


def at_the_limits(dimensions: int) -> NDArray[np.float32]:
    """Unit vectors: equal components, a single one, and one among many that are nothing to halves."""
    tiny = np.full(dimensions, 1e-9)
    tiny[0] = 1.0
    return unit(np.array([np.ones(dimensions), -np.ones(dimensions), np.eye(dimensions)[-1], tiny]))


@pytest.mark.parametrize("dimensions", [1, 2, 2000])
async def test_every_unit_vector_is_found(empty_database_url: str, dimensions: int) -> None:
    await migrations.upgrade(empty_database_url, LexicalEmbedder(dimensions))
    vectors = at_the_limits(dimensions)
    corpus = await insert(empty_database_url, vectors)
    for number, vector in enumerate(vectors):
        found = dict(await nearest(empty_database_url, vector, len(vectors)))
        assert {*found} == {*corpus.ids}
        assert found[corpus.ids[number]] == pytest.approx(0.0, abs=1e-6)
        assert [*found.values()] == sorted(found.values())


async def test_what_is_equal_in_halves_is_ranked_by_the_full_vectors(database_url: str) -> None:
    vectors = clustered(60)
    centre = vectors[0].astype(np.float16)
    # Three that halves cannot tell apart.
    step = 0.3 * np.spacing(centre).astype(np.float32) * np.where(vectors[1] > 0, 1, -1)
    vectors[:3] = centre.astype(np.float32) + np.array([-1, 0, 1])[:, np.newaxis] * step
    assert len(np.unique(vectors[:3].astype(np.float16), axis=0)) == 1
    corpus = await insert(database_url, vectors)
    query = unit(vectors[1] + 0.1 * step / np.linalg.norm(step))
    wanted = [corpus.ids[number] for number in (2, 1, 0)]
    for limit in (1, 2, 3):
        assert ids_of(await nearest(database_url, query, limit)) == wanted[:limit]


async def test_distances_are_those_of_the_full_vectors(database_url: str) -> None:
    corpus = await insert(database_url, clustered(500))
    by_halves = 0
    for number in range(10):
        query = corpus.query(number)
        exact: dict[UUID, float] = dict(corpus.nearest(query, 500))
        halves = dict(zip(corpus.ids, 1.0 - corpus.vectors.astype(np.float16) @ query, strict=True))
        for trace_id, distance in await nearest(database_url, query, 5):
            assert distance == pytest.approx(exact[trace_id], abs=1e-6)
            by_halves += abs(distance - halves[trace_id]) > 1e-6
    assert by_halves


@pytest.mark.parametrize(
    ("limit", "ef_search", "count"),
    [
        (1, 64, 3),
        (5, 64, 7),
        (10, 64, 12),
        (100, 200, 107),
        (1000, 1000, 1000),
        (10, 10, 10),
        (10, 1, 10),
        (10, 11, 11),
    ],
)
def test_no_more_candidates_than_the_index_keeps(limit: int, ef_search: int, count: int) -> None:
    assert candidate_count(limit, ef_search=ef_search) == count
