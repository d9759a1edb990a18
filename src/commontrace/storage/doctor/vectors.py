"""Vectors as the doctor sees them: the vector index, traces that no search finds, and the encoding queue."""

from sqlalchemy import exists, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.doctor.findings import VectorIndex
from commontrace.domain.doctor.vectors import QueueFacts, VectorCounts
from commontrace.embeddings.local.text_reading import keeps_tokens
from commontrace.embeddings.model import RecordedModel
from commontrace.storage.models import VECTOR_INDEX_NAME, EncodingJob, Trace, vector_index
from commontrace.storage.search.trace_tokens import has_tokens

_EXAMPLES = 3

# pgvector's defaults, for an index that names no others.
_HNSW_DEFAULTS = {"m": "16", "ef_construction": "64"}

_INDEX = """
    SELECT i.indisvalid AND i.indisready AS is_valid, am.amname AS method, opc.opcname AS operator_class,
        pg_get_indexdef(c.oid, 1, true) AS held, COALESCE(c.reloptions, '{}') AS options
    FROM pg_class c
    JOIN pg_index i ON i.indexrelid = c.oid
    JOIN pg_am am ON am.oid = c.relam
    JOIN pg_opclass opc ON opc.oid = i.indclass[0]
    WHERE c.oid = to_regclass(:name)"""

_COUNTS = f"""
    SELECT count(*) AS live,
        count(*) FILTER (WHERE is_queued) AS queued,
        count(*) FILTER (WHERE is_lost AND embedding_model_id IS NULL) AS missing,
        count(*) FILTER (WHERE is_lost AND embedding_model_id IS NOT NULL) AS foreign,
        count(*) FILTER (WHERE NOT is_unfound AND NOT has_job AND NOT has_tokens) AS tokenless
    FROM (
        SELECT embedding_model_id, is_unfound, job.trace_id IS NOT NULL AS has_job,
            is_unfound AND job.trace_id IS NOT NULL AS is_queued, is_unfound AND job.trace_id IS NULL AS is_lost,
            NOT :with_tokens OR {has_tokens("traces")} AS has_tokens
        FROM traces LEFT JOIN encoding_jobs AS job ON job.trace_id = traces.id,
            LATERAL (
                SELECT (embedding_model_id, embedding_model_version) IS DISTINCT FROM (:model_id, :model_version)
            ) AS of_model (is_unfound)
        WHERE deleted_at IS NULL
    ) AS live"""  # noqa: S608 - our own names

_QUEUE = """
    SELECT count(*) FILTER (WHERE given_up_at IS NULL AND NOT has_vector) AS waiting,
        GREATEST(extract(epoch FROM now() - min(created_at) FILTER (WHERE given_up_at IS NULL AND NOT has_vector)), 0)
            ::float8 AS oldest_seconds,
        count(given_up_at) AS given_up,
        COALESCE((
            SELECT last_error FROM encoding_jobs WHERE last_error <> ''
            ORDER BY given_up_at DESC NULLS LAST, due_at DESC LIMIT 1
        ), '') AS why,
        ARRAY(
            SELECT trace_id FROM encoding_jobs WHERE given_up_at IS NOT NULL ORDER BY trace_id LIMIT :examples
        ) AS examples
    FROM encoding_jobs"""


async def get_vector_index(connection: AsyncConnection) -> VectorIndex | None:
    """Returns the vector index, None if there is none."""
    row = (await connection.execute(text(_INDEX), {"name": VECTOR_INDEX_NAME})).one_or_none()
    if row is None:
        return None
    options = _HNSW_DEFAULTS | dict(option.split("=", 1) for option in row.options)
    return VectorIndex(
        is_valid=row.is_valid, method=row.method, held=row.held, operator_class=row.operator_class, options=options
    )


def intended_index(dimensions: int) -> VectorIndex:
    """Returns the vector index of a database whose vectors have so many dimensions."""
    return VectorIndex(
        is_valid=True,
        method=vector_index.METHOD,
        held=vector_index.halves_sql("embedding", dimensions),
        operator_class=vector_index.OPERATOR_CLASS,
        options={name: str(value) for name, value in vector_index.OPTIONS.items()},
    )


async def count_vectors(connection: AsyncConnection, model: RecordedModel) -> VectorCounts:
    """Counts the live traces without a vector of the model, in the queue or not, and those without its tokens."""
    lost = (
        select(Trace.id)
        .where(
            Trace.deleted_at.is_(None),
            or_(
                Trace.embedding_model_id.is_distinct_from(model.model_id),
                Trace.embedding_model_version.is_distinct_from(model.model_version),
            ),
            ~exists().where(EncodingJob.trace_id == Trace.id),
        )
        .order_by(Trace.id)
        .limit(_EXAMPLES)
    )
    of_model = {"model_id": model.model_id, "model_version": model.model_version, "with_tokens": keeps_tokens(model)}
    [row] = await connection.execute(text(_COUNTS), of_model)
    examples = (await connection.execute(lost)).scalars().all()
    return VectorCounts(**row._mapping, examples=examples)


async def get_queue(connection: AsyncConnection) -> QueueFacts:
    """Returns the state of the encoding queue, with examples of dead letters."""
    [row] = await connection.execute(text(_QUEUE), {"examples": _EXAMPLES})
    return QueueFacts(**row._mapping)
