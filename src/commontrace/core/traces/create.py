"""Creating a trace: prepare (encode, look for duplicates) outside the transaction, then store (ADR 0008)."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from commontrace.core.encoding.encode import encode_in_time
from commontrace.core.search.near_duplicates import SimilarTrace, similar_traces
from commontrace.core.traces.preconditions import require_owner
from commontrace.domain.deadline import NEVER, Deadline
from commontrace.domain.errors import AlreadySuperseded, ConcurrentChange, DuplicateTrace, ModelReplaced
from commontrace.domain.events.event_types import CREATED, SUPERSEDED
from commontrace.domain.tags.names import normalise_all
from commontrace.domain.traces.content_hash import content_hash
from commontrace.domain.traces.contribution import TEXTS, Contribution, NewTrace, OnDuplicate, new_trace
from commontrace.domain.traces.locked_trace import LockedTrace
from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.storage.database import Database
from commontrace.storage.search.trace_tokens import TokensOfRevision
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

    async def store(self, work: UnitOfWork, _caller_id: UUID) -> CreateResult:
        """Returns the existing trace. Raises ConcurrentChange if it has gone meanwhile."""
        # The idempotent answer is stored with the trace's text: a purge must come before it, or wait and erase it.
        await work.trace_changes.block_purges([self.trace_id])
        trace = await work.traces.get(self.trace_id)
        if trace is None:
            raise ConcurrentChange
        return CreateResult(trace=trace, is_new=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedTrace:
    """A contribution ready to be stored. Without an embedding, it is queued for one."""

    contribution: Contribution
    tags: list[str]
    content_hash: bytes
    on_duplicate: OnDuplicate
    supersedes_id: UUID | None
    embedding: Embedding | None
    embedder: Embedder
    similar: list[SimilarTrace]

    async def store(self, work: UnitOfWork, caller_id: UUID) -> CreateResult:
        """Stores the trace. Raises DuplicateTrace, TraceNotFound, NotOwner, AlreadySuperseded, ConcurrentChange."""
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
        )
        if not await add(trace, self.tags, work):
            # The same content was stored since this was prepared.
            raise ConcurrentChange
        if superseded is not None:
            await work.trace_changes.update(superseded.id, {"superseded_by_id": trace.id})
            await work.events.add(superseded.id, SUPERSEDED, revision=superseded.revision)
        stored = await work.traces.get(trace.id)
        assert stored is not None  # noqa: S101 - stored above, in the same transaction
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
        kept = await work.trace_changes.block_purges([similar.trace_id for similar in self.similar])
        return [similar for similar in self.similar if similar.trace_id in kept]

    async def _lock_superseded(self, trace_id: UUID, work: UnitOfWork, caller_id: UUID) -> LockedTrace:
        locked = await work.trace_changes.lock_live(trace_id)
        require_owner(locked, caller_id)
        if locked.superseded_by_id is not None:
            raise AlreadySuperseded(trace_id, locked.superseded_by_id)
        old = await work.traces.get(trace_id)
        assert old is not None  # noqa: S101 - locked above
        if content_hash(old.title, old.context_text, old.solution_text) == self.content_hash:
            raise DuplicateTrace(trace_id)
        return locked


async def prepare(
    contribution: Contribution,
    *,
    on_duplicate: OnDuplicate,
    supersedes_id: UUID | None,
    database: Database,
    embedder: Embedder,
    deadline: Deadline = NEVER,
) -> ExistingTrace | PreparedTrace:
    """Prepares a contribution outside any transaction. Raises InvalidTag, DuplicateTrace, ModelReplaced.

    A text that cannot be encoded, or not in time, is stored without its vector. No transaction is open while the
    embedder is waited for.
    """
    tags = normalise_all(contribution.tags)
    hashed = contribution.content_hash
    if on_duplicate is not OnDuplicate.ALLOW:
        existing = await database.read(lambda reading: reading.traces.get_id_by_content(hashed))
        if existing is not None and (on_duplicate is OnDuplicate.REJECT or existing == supersedes_id):
            raise DuplicateTrace(existing)
        if existing is not None:
            return ExistingTrace(trace_id=existing)
    embedding = await encode_in_time(contribution.text, deadline=deadline, embedder=embedder)
    similar = []
    if embedding is not None:
        similar = await similar_traces(
            embedding.vector,
            model_id=embedder.model_id,
            model_version=embedder.model_version,
            excluded_id=supersedes_id,
            database=database,
        )
    return PreparedTrace(
        contribution=contribution,
        tags=tags,
        content_hash=hashed,
        on_duplicate=on_duplicate,
        supersedes_id=supersedes_id,
        embedding=embedding,
        embedder=embedder,
        similar=similar,
    )


async def add(trace: NewTrace, tags: list[str], work: UnitOfWork) -> bool:
    """Stores a trace with its first revision, tags and event; returns False if a live one has the same content.

    Queues a trace without a vector for encoding. Raises ModelReplaced.
    """
    current = await work.traces.add(trace)
    if current is None:
        return False
    if trace.embedding is None:
        await work.encoding_jobs.enqueue(trace.id)
    elif current != (trace.embedding_model_id, trace.embedding_model_version):
        raise ModelReplaced
    else:
        tokens = TokensOfRevision(trace.id, 1, trace.token_signs)
        await work.trace_tokens.save([tokens], model_version=current.model_version)
    await work.revisions.add(
        trace.id,
        revision=1,
        title=trace.title,
        context=trace.context,
        solution=trace.solution,
        changed_fields=list(TEXTS),
        editor_id=trace.contributor_id,
    )
    await work.tags.attach(trace.id, tags)
    await work.events.add(trace.id, CREATED, revision=1)
    return True
