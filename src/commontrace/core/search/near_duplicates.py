"""Traces that say nearly the same as a new one. They are reported; nothing follows from them."""

from dataclasses import dataclass
from uuid import UUID

from commontrace.domain.search.neighbours import NeighbourQuery
from commontrace.domain.search.query import candidates_for, similarity
from commontrace.embeddings.embedder import Vector
from commontrace.storage.database import Database

LEAST_SIMILARITY = 0.95
MOST = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class SimilarTrace:
    """A live trace and its cosine similarity."""

    trace_id: UUID
    title: str
    similarity: float


async def similar_traces(
    vector: Vector, *, model_id: str, model_version: str, leaving_out: UUID | None, database: Database
) -> list[SimilarTrace]:
    """Returns up to 5 traces of cosine similarity 0.95 or more, most similar first, as the index finds them.

    Raises ModelReplaced.
    """
    nearest = NeighbourQuery(
        vector=vector, model_id=model_id, model_version=model_version, limit=MOST, excluded=leaving_out
    )
    neighbours = await database.search(lambda search: search.neighbours(nearest, ef_search=candidates_for(MOST)))
    near = [
        (neighbour.trace_id, similarity(neighbour))
        for neighbour in neighbours
        if similarity(neighbour) >= LEAST_SIMILARITY
    ]
    if not near:
        return []
    ids = [trace_id for trace_id, _ in near]
    traces = await database.read(lambda reading: reading.traces.get_many(ids, full=False))
    return [
        SimilarTrace(trace_id=trace_id, title=traces[trace_id].title, similarity=value)
        for trace_id, value in near
        if trace_id in traces
    ]
