"""Near-duplicate detection: traces that say nearly the same as a new one. They are reported, and change nothing."""

from dataclasses import dataclass
from uuid import UUID

from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.domain.search.query import candidates_for
from commontrace.embeddings.embedder import Vector
from commontrace.storage.database import Database

MIN_SIMILARITY = 0.95
LIMIT = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class SimilarTrace:
    """A live trace and its cosine similarity to the new one."""

    trace_id: UUID
    title: str
    similarity: float


async def similar_traces(
    vector: Vector, *, model_id: str, model_version: str, excluded_id: UUID | None, database: Database
) -> list[SimilarTrace]:
    """Returns up to 5 traces of cosine similarity 0.95 or more, most similar first, as the vector index finds them.

    Raises ModelReplaced.
    """
    query = NeighbourQuery(
        vector=vector, model_id=model_id, model_version=model_version, limit=LIMIT, excluded_id=excluded_id
    )
    neighbours = await database.search(lambda search: search.neighbours(query, ef_search=candidates_for(LIMIT)))
    similar = [neighbour for neighbour in neighbours if neighbour.similarity >= MIN_SIMILARITY]
    if not similar:
        return []
    ids = [neighbour.trace_id for neighbour in similar]
    traces = await database.read(lambda reading: reading.traces.get_many(ids, full=False))
    return [
        SimilarTrace(
            trace_id=neighbour.trace_id, title=traces[neighbour.trace_id].title, similarity=neighbour.similarity
        )
        for neighbour in similar
        if neighbour.trace_id in traces
    ]
