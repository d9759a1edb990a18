"""Creation of traces: one statement that adds a trace with all that belongs to it (ADR 0064)."""

import json
from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Integer, LargeBinary, String, Uuid, any_, bindparam, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from commontrace.domain.events.event_types import CREATED
from commontrace.domain.traces.contribution import TEXTS, NewTrace
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.models import EmbeddingModel, Tag, Trace, TraceEvent, TraceRevision, TraceTag, TraceTokens
from commontrace.storage.namespaces.names import namespace_name_of
from commontrace.storage.traces.repository import TraceRow
from commontrace.storage.transaction import Transaction


class AddedTrace(NamedTuple):
    """A trace as stored, without the trace that it is a copy of; and the current model, which stays until the end."""

    trace: TraceRow
    model_id: str
    model_version: str


_TRACE = Trace.__table__.c
_GIVEN = (
    *("id", "title", "context_text", "solution_text", "embedding", "embedding_model_id", "embedding_model_version"),
    *("status", "contributor_id", "agent_model", "agent_version", "metadata_json", "is_seed", "content_hash"),
    *("supersedes_id", "namespace_id", "promoted_from_id", "prior_contributor_ids"),
)
_NEW = {name: bindparam(name, type_=_TRACE[name].type) for name in _GIVEN}
# What the caller has anyway need not come back.
_KNOWN = ("title", "context_text", "solution_text")
_COMPUTED = ("tags", "is_encoded", "namespace", "promoted_from_id")
_TAG_IDS = bindparam("tag_ids", type_=ARRAY(Uuid))
_SIGNS = bindparam("token_signs", type_=LargeBinary)

_ADDED = (
    insert(Trace.__table__)
    .values(_NEW)
    .on_conflict_do_nothing(index_elements=[Trace.content_hash], index_where=Trace.deleted_at.is_(None))
    .returning(*(_TRACE[name] for name in TraceRow._fields if name not in (*_KNOWN, *_COMPUTED)))
    .cte("added")
)
_FIRST = literal(1, Integer)
_REVISION = insert(TraceRevision.__table__).from_select(
    ["trace_id", "revision", "title", "context_text", "solution_text", "changed_fields", "editor_id"],
    select(
        _ADDED.c.id,
        _FIRST,
        *(_NEW[name] for name in _KNOWN),
        bindparam("changed_fields", type_=ARRAY(String)),
        _ADDED.c.contributor_id,
    ),
)
_TAGS = insert(TraceTag.__table__).from_select(["trace_id", "tag_id"], select(_ADDED.c.id, func.unnest(_TAG_IDS)))
_TOKENS = insert(TraceTokens.__table__).from_select(
    ["trace_id", "model_version", "revision", "signs"],
    select(_ADDED.c.id, _NEW["embedding_model_version"], _FIRST, _SIGNS).where(_SIGNS.is_not(None)),
)
# From the added row: a transaction must have an id before it draws a number of the log (`EventRepository`).
_EVENT = insert(TraceEvent.__table__).from_select(
    ["trace_id", "event_type", "revision", "namespace_id"],
    select(_ADDED.c.id, literal(CREATED, String), _FIRST, _ADDED.c.namespace_id),
)
_OF_MODEL = {"model_id": EmbeddingModel.id, "model_version": EmbeddingModel.version}
_ADD = DriverStatement(
    select(
        *(column.label(column.key) for column in _ADDED.c),
        func.array(select(Tag.name).where(Tag.id == any_(_TAG_IDS)).scalar_subquery()).label("tags"),
        namespace_name_of(_ADDED.c.namespace_id).label("namespace"),
        *(
            select(column).where(EmbeddingModel.is_current).scalar_subquery().label(name)
            for name, column in _OF_MODEL.items()
        ),
    ).add_cte(_REVISION.cte("revision"), _TAGS.cte("tagged"), _TOKENS.cte("tokens"), _EVENT.cte("event"))
)


class TraceCreation:
    """New traces of one unit of work."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.has_added = False
        """True if there are events to notify of after the commit."""

    async def add(self, trace: NewTrace, tag_ids: Collection[UUID] = ()) -> AddedTrace | None:
        """Adds a trace with its first revision, its event, the signs of its tokens, and tags that are locked.

        Returns None if a live trace has the same content. Raises InvalidStoredVector, ModelReplaced.
        """
        given = {
            "id": trace.id,
            "title": trace.title,
            "context_text": trace.context,
            "solution_text": trace.solution,
            "embedding": trace.embedding,
            "embedding_model_id": trace.embedding_model_id,
            "embedding_model_version": trace.embedding_model_version,
            "status": trace.status,
            "contributor_id": trace.contributor_id,
            "agent_model": trace.agent_model,
            "agent_version": trace.agent_version,
            "metadata_json": json.dumps(dict(trace.metadata)),
            "is_seed": trace.is_seed,
            "content_hash": trace.content_hash,
            "supersedes_id": trace.supersedes_id,
            "namespace_id": trace.namespace_id,
            "promoted_from_id": trace.promoted_from_id,
            "prior_contributor_ids": list(trace.prior_contributor_ids),
            "changed_fields": list(TEXTS),
            "tag_ids": list(tag_ids),
            "token_signs": None if trace.token_signs is None else trace.token_signs.to_bytes(),
        }
        rows = await self._transaction.fetch(_ADD, given)
        if not rows:
            return None
        self.has_added = True
        [row] = rows
        stored = {
            **row,
            "title": trace.title,
            "context_text": trace.context,
            "solution_text": trace.solution,
            "is_encoded": trace.embedding is not None,
            "promoted_from_id": None,
        }
        shown = TraceRow.of(stored[name] for name in TraceRow._fields)
        return AddedTrace(shown, row["model_id"], row["model_version"])
