"""Creating a trace: prepare (encode, look for duplicates) outside the transaction, then store (ADR 0008)."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from commontrace.core.encoding.encode import encode_in_time
from commontrace.core.events.trace_events import add_event
from commontrace.core.search.near_duplicates import SimilarTrace, similar_traces
from commontrace.core.search.selectivity import FilterSelectivityCache
from commontrace.core.traces.preconditions import require_namespace, require_owner
from commontrace.domain.deadline import NEVER, Deadline
from commontrace.domain.errors import AlreadySuperseded, ConcurrentChange, DuplicateTrace, ModelReplaced
from commontrace.domain.events.event_types import SUPERSEDED
from commontrace.domain.namespaces.access import Grant, NamespaceAccess
from commontrace.domain.tags.names import normalise_all
from commontrace.domain.traces.content_hash import content_hash, hash_in_namespace
from commontrace.domain.traces.contribution import Contribution, NewTrace, OnDuplicate, new_trace
from commontrace.domain.traces.locked_trace import LockedTrace
from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.storage.database import Database
from commontrace.storage.traces.repository import TraceRow
from commontrace.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateResult:
    """The trace as stored, or the existing one (`is_new` tells), with the tokens of its text that the model read.

    Without a vector yet, no tokens are counted and no similar traces looked for.
    """

    trace: TraceRow
    is_new: bool
    tokens_read: int = 0
    tokens_total: int = 0
    similar: list[SimilarTrace] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExistingTrace:
    """A contribution whose content a live trace has already."""

    trace_id: UUID
    access: NamespaceAccess

    async def store(self, work: UnitOfWork, _caller_id: UUID) -> CreateResult:
        """Returns the existing trace. Raises ConcurrentChange if it has gone meanwhile."""
        # The idempotent answer is stored with the trace's text: a purge must come before it, or wait and erase it.
        await work.trace_changes.block_purges([self.trace_id], self.access.readable)
        trace = await work.traces.get_for_answer(self.trace_id, self.access.readable)
        if trace is None:
            raise ConcurrentChange
        return CreateResult(trace=trace, is_new=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedTrace:
    """A contribution ready to be stored. Without an embedding, it is queued for one."""

    contribution: Contribution
    access: NamespaceAccess
    namespace: Grant
    tags: list[str]
    content_hash: bytes
    on_duplicate: OnDuplicate
    supersedes_id: UUID | None
    embedding: Embedding | None
    embedder: Embedder
    similar: list[SimilarTrace]

    async def store(self, work: UnitOfWork, caller_id: UUID) -> CreateResult:
        """Stores the trace.

        Raises NamespaceNotFound, DuplicateTrace, TraceNotFound, NotOwner, AlreadySuperseded, ConcurrentChange.
        """
        await require_namespace(self.namespace, work)
        superseded = None
        if self.supersedes_id is not None:
            superseded = await self._lock_superseded(self.supersedes_id, work, caller_id)
        trace = new_trace(
            self.contribution,
            self.embedding,
            embedder=self.embedder,
            trace_id=uuid4(),
            contributor_id=caller_id,
            content_hash=None if self.on_duplicate is OnDuplicate.ALLOW else self.content_hash,
            supersedes_id=self.supersedes_id,
            namespace_id=self.namespace.id,
        )
        stored = await add(trace, self.tags, work)
        if stored is None:
            # The same content was stored since this was prepared.
            raise ConcurrentChange
        if superseded is not None:
            await work.trace_changes.update(superseded.id, {"superseded_by_id": trace.id})
            await add_event(superseded, SUPERSEDED, work)
        if self.embedding is None:
            return CreateResult(trace=stored, is_new=True)
        return CreateResult(
            trace=stored,
            is_new=True,
            tokens_read=self.embedding.tokens_read,
            tokens_total=self.embedding.tokens_total,
            similar=await self._similar_still(work),
        )

    async def _similar_still(self, work: UnitOfWork) -> list[SimilarTrace]:
        """Leaves out purged traces, and locks the others against purges: the stored answer has their titles."""
        if not self.similar:
            return []
        ids = [similar.trace_id for similar in self.similar]
        kept = await work.trace_changes.block_purges(ids, self.access.only(self.namespace))
        return [similar for similar in self.similar if similar.trace_id in kept]

    async def _lock_superseded(self, trace_id: UUID, work: UnitOfWork, caller_id: UUID) -> LockedTrace:
        # Of this namespace alone: nothing supersedes across a wall.
        locked = await work.trace_changes.lock_live(trace_id, self.access.only(self.namespace))
        require_owner(locked, caller_id)
        if locked.superseded_by_id is not None:
            raise AlreadySuperseded(trace_id, locked.superseded_by_id)
        old = await work.traces.get(trace_id, self.access.readable)
        assert old is not None  # noqa: S101 - locked above
        hashed = content_hash(old.title, old.context_text, old.solution_text)
        if hash_in_namespace(hashed, self.namespace.id) == self.content_hash:
            raise DuplicateTrace(trace_id)
        return locked


async def prepare(
    contribution: Contribution,
    access: NamespaceAccess,
    *,
    namespace: str = "",
    on_duplicate: OnDuplicate,
    supersedes_id: UUID | None,
    database: Database,
    embedder: Embedder,
    selectivities: FilterSelectivityCache,
    deadline: Deadline = NEVER,
) -> ExistingTrace | PreparedTrace:
    """Prepares a contribution outside any transaction. `namespace` '' stands for the default of the caller.

    Raises NamespaceNotFound, NamespaceForbidden, NamespaceRequired, InvalidTag, DuplicateTrace, ModelReplaced.

    A text that cannot be encoded, or not in time, is stored without its vector. No transaction is open while the
    embedder is waited for.
    """
    target = access.require_target(namespace)
    tags = normalise_all(contribution.tags)
    hashed = hash_in_namespace(contribution.content_hash, target.id)
    if on_duplicate is not OnDuplicate.ALLOW:
        existing = await database.read(lambda reading: reading.traces.get_id_by_content(hashed, target.id))
        if existing is not None and (on_duplicate is OnDuplicate.REJECT or existing == supersedes_id):
            raise DuplicateTrace(existing)
        if existing is not None:
            return ExistingTrace(trace_id=existing, access=access)
    embedding = await encode_in_time(contribution.text, deadline=deadline, embedder=embedder)
    similar = []
    if embedding is not None:
        similar = await similar_traces(
            embedding.vector,
            access.only(target),
            model=embedder,
            excluded_id=supersedes_id,
            database=database,
            selectivities=selectivities,
        )
    return PreparedTrace(
        contribution=contribution,
        access=access,
        namespace=target,
        tags=tags,
        content_hash=hashed,
        on_duplicate=on_duplicate,
        supersedes_id=supersedes_id,
        embedding=embedding,
        embedder=embedder,
        similar=similar,
    )


async def add(trace: NewTrace, tags: list[str], work: UnitOfWork) -> TraceRow | None:
    """Stores a trace with its first revision, tags and event; returns None if a live one has the same content.

    Queues a trace without a vector for encoding. Raises ModelReplaced.
    """
    # Tags that are new come after the trace, as in imports: two transactions wait instead of deadlocking.
    tag_ids = await work.tags.lock_all(tags)
    added = await work.trace_creation.add(trace, tag_ids or ())
    if added is None:
        return None
    if trace.embedding is None:
        await work.encoding_jobs.enqueue(trace.id)
    elif (added.model_id, added.model_version) != (trace.embedding_model_id, trace.embedding_model_version):
        raise ModelReplaced
    if tag_ids is not None:
        return added.trace
    return added.trace._replace(tags=await work.tags.attach(trace.id, tags))
