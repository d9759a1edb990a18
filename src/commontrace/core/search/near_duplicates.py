"""Near-duplicate detection: traces that say nearly the same as a new one. They are reported, and change nothing."""

from dataclasses import dataclass
from uuid import UUID

from commontrace.core.search.candidates import CandidateGeneration
from commontrace.core.search.selectivity import FilterSelectivityCache
from commontrace.domain.namespaces.access import ReadableNamespaces
from commontrace.domain.search.query import QueryVector, Search
from commontrace.domain.traces.trace_filter import everything_in
from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.model import Model
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
    vector: Vector,
    namespaces: ReadableNamespaces,
    *,
    model: Model,
    excluded_id: UUID | None,
    database: Database,
    selectivities: FilterSelectivityCache,
) -> list[SimilarTrace]:
    """Returns up to 5 traces of cosine similarity 0.95 or more, most similar first.

    As an approximate search finds them. Raises ModelReplaced.
    """
    trace_filter = everything_in(namespaces)
    candidates = CandidateGeneration(
        Search(query=QueryVector(vector=vector, model_id=model.model_id), limit=LIMIT),
        vector,
        trace_filter,
        model=model,
        database=database,
        selectivities=selectivities,
        excluded_id=excluded_id,
    )
    neighbours = (await candidates.approximate()).neighbours
    similar = [neighbour for neighbour in neighbours if neighbour.similarity >= MIN_SIMILARITY]
    if not similar:
        return []
    ids = [neighbour.trace_id for neighbour in similar]
    traces = await database.read(lambda reading: reading.traces.get_many(ids, trace_filter, full=False))
    return [
        SimilarTrace(
            trace_id=neighbour.trace_id, title=traces[neighbour.trace_id].title, similarity=neighbour.similarity
        )
        for neighbour in similar
        if neighbour.trace_id in traces
    ]
