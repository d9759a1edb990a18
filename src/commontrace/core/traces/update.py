"""Updating a trace: prepare the edit outside the transaction, then store it under the trace's lock (ADR 0008)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from commontrace.core.encoding.encode import encode_in_time
from commontrace.core.events.trace_events import add_event, add_status_event
from commontrace.core.traces.preconditions import require_etag, require_new_content, require_owner
from commontrace.domain.deadline import NEVER, Deadline
from commontrace.domain.errors import ConcurrentChange, TraceNotFound
from commontrace.domain.events.event_types import UPDATED
from commontrace.domain.namespaces.access import NamespaceAccess
from commontrace.domain.namespaces.namespace import Role
from commontrace.domain.tags.names import normalise_all
from commontrace.domain.traces.content_hash import content_hash, hash_in_namespace
from commontrace.domain.traces.contribution import PENDING, TEXTS, embedding_text
from commontrace.domain.traces.locked_trace import LockedTrace
from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.storage.database import Database
from commontrace.storage.search.trace_tokens import TokensOfRevision
from commontrace.storage.traces.repository import TraceRow
from commontrace.storage.unit_of_work import UnitOfWork

_COLUMNS = {
    "title": "title",
    "context": "context_text",
    "solution": "solution_text",
    "agent_model": "agent_model",
    "agent_version": "agent_version",
    "metadata": "metadata_json",
}
FIELDS = (*_COLUMNS, "tags")
"""The fields that an owner may change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """New values of some of FIELDS, each as a whole. Without an etag, the last edit wins."""

    trace_id: UUID
    values: Mapping[str, Any]
    etag: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateResult:
    """The trace after the edit, with the tokens of a new text that the model read; 0 if it read none, or not yet."""

    trace: TraceRow
    tokens_read: int = 0
    tokens_total: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedEdit:
    """An edit of the trace as it was read. `values` are those that differ; `embedding` is that of a changed text.

    A changed text without an embedding is queued for one.
    """

    edit: Edit
    seen: TraceRow
    access: NamespaceAccess
    values: Mapping[str, Any]
    tags: list[str] | None
    embedding: Embedding | None
    embedder: Embedder

    async def store(self, work: UnitOfWork, caller_id: UUID) -> UpdateResult:
        """Changes the trace.

        Raises TraceNotFound, NamespaceForbidden, NotOwner, StaleEtag, DuplicateTrace, ConcurrentChange, ModelReplaced.
        """
        locked = await work.trace_changes.lock_live(self.edit.trace_id, self.access.readable)
        self.access.require_role(locked.namespace_id, Role.WRITER)
        require_owner(locked, caller_id)
        require_etag(locked, self.edit.etag)
        if locked.edit_number != self.seen.edit_number:
            raise ConcurrentChange
        changes: dict[str, Any] = {_COLUMNS[name]: value for name, value in self.values.items()}
        if self.embedding is not None:
            # After the lock, which keeps the model from being replaced until the transaction ends (ADR 0020).
            await work.embedding_models.require(self.embedder)
        if _is_new_text(self.values):
            changes |= await self._new_revision(locked, work, caller_id)
        has_new_tags = self.tags is not None and await work.tags.replace(locked.id, self.tags)
        if changes or has_new_tags:
            await work.trace_changes.touch(locked.id, {**changes, "edit_number": locked.edit_number + 1})
            revision = changes.get("revision", locked.revision)
            if self.embedding is not None:
                tokens = TokensOfRevision(locked.id, revision, self.embedding.token_signs)
                await work.trace_tokens.save([tokens], model_version=self.embedder.model_version)
            await add_event(locked, UPDATED, work, revision=revision)
            await add_status_event(locked, changes.get("status", locked.status), work, revision=revision)
        trace = await work.traces.get_for_answer(locked.id, self.access.readable)
        assert trace is not None  # noqa: S101 - locked above
        if self.embedding is None:
            return UpdateResult(trace=trace)
        return UpdateResult(
            trace=trace, tokens_read=self.embedding.tokens_read, tokens_total=self.embedding.tokens_total
        )

    async def _new_revision(self, locked: LockedTrace, work: UnitOfWork, caller_id: UUID) -> dict[str, Any]:
        texts = _texts(self.seen, self.values)
        changes: dict[str, Any] = {}
        if locked.content_hash is not None:
            changes["content_hash"] = hash_in_namespace(content_hash(**texts), locked.namespace_id)
            await require_new_content(changes["content_hash"], locked, work)
        changed = [name for name in TEXTS if name in self.values]
        await work.revisions.add(
            locked.id, revision=locked.revision + 1, **texts, changed_fields=changed, editor_id=caller_id
        )
        if self.embedding is None:
            await work.encoding_jobs.enqueue(locked.id)
        else:
            await work.encoding_jobs.delete([locked.id])
        # Votes count for the revision that they were cast on.
        return changes | {
            "revision": locked.revision + 1,
            "status": PENDING,
            "trust_score": 0.0,
            "confirmation_count": 0,
            "down_count": 0,
            # The old vector is of the old text.
            "embedding": self.embedding and self.embedding.vector,
            "embedding_model_id": self.embedding and self.embedder.model_id,
            "embedding_model_version": self.embedding and self.embedder.model_version,
        }


async def prepare(
    edit: Edit,
    email: str,
    access: NamespaceAccess,
    *,
    database: Database,
    embedder: Embedder,
    deadline: Deadline = NEVER,
) -> PreparedEdit:
    """Prepares an edit outside any transaction. Raises what `PreparedEdit.store` raises.

    A text that cannot be encoded, or not in time, is stored without its vector. No transaction is open while the
    embedder is waited for.
    """
    seen = await database.read(lambda reading: reading.traces.get(edit.trace_id, access.readable))
    if seen is None:
        raise TraceNotFound(edit.trace_id)
    access.require_role(seen.namespace_id, Role.WRITER)
    require_owner(seen, await database.read(lambda reading: reading.users.get_id(email)))
    require_etag(seen, edit.etag)
    values = {
        name: value
        for name, value in edit.values.items()
        if name in _COLUMNS and _differ(value, getattr(seen, _COLUMNS[name]))
    }
    embedding = None
    if _is_new_text(values):
        embedding = await encode_in_time(embedding_text(**_texts(seen, values)), deadline=deadline, embedder=embedder)
    tags = normalise_all(edit.values["tags"]) if "tags" in edit.values else None
    return PreparedEdit(
        edit=edit, seen=seen, access=access, values=values, tags=tags, embedding=embedding, embedder=embedder
    )


def _texts(seen: TraceRow, values: Mapping[str, Any]) -> dict[str, str]:
    return {name: values.get(name, getattr(seen, _COLUMNS[name])) for name in TEXTS}


def _is_new_text(values: Mapping[str, Any]) -> bool:
    return any(name in values for name in TEXTS)


def _differ(new: Any, old: Any) -> bool:
    # Compared as JSON, because True == 1 in Python.
    return json.dumps(new, sort_keys=True) != json.dumps(old, sort_keys=True)
