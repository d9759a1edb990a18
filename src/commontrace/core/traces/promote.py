"""Promotion: copies the current text of a trace into another namespace (ADR 0061)."""

from uuid import UUID, uuid4

from commontrace.core.traces.create import CreateResult, add
from commontrace.core.traces.preconditions import require_namespace
from commontrace.domain.errors import ConcurrentChange, SameNamespace, TraceNotFound
from commontrace.domain.namespaces.access import NamespaceAccess
from commontrace.domain.namespaces.namespace import Role
from commontrace.domain.traces.content_hash import content_hash, hash_in_namespace
from commontrace.domain.traces.contribution import PENDING, NewTrace
from commontrace.embeddings.local.text_reading import keeps_tokens
from commontrace.embeddings.model import Model
from commontrace.storage.unit_of_work import UnitOfWork


async def promote(
    trace_id: UUID, to_namespace: str, *, access: NamespaceAccess, model: Model, work: UnitOfWork, caller_id: UUID
) -> CreateResult:
    """Copies a trace with its vector; returns the copy, or the trace of the same content that is there already.

    Raises TraceNotFound, NamespaceNotFound, NamespaceForbidden, SameNamespace, ConcurrentChange.
    """
    target = access.require(to_namespace, Role.WRITER)
    source = await work.trace_changes.lock_live(trace_id, access.readable)
    if source.namespace_id == target.id:
        raise SameNamespace(target.name)
    await require_namespace(target, work)
    shown = await work.traces.get(trace_id, access.readable)
    if shown is None:
        raise TraceNotFound(trace_id)
    hashed = hash_in_namespace(content_hash(shown.title, shown.context_text, shown.solution_text), target.id)
    existing_id = await work.traces.get_id_by_content(hashed, target.id)
    if existing_id is not None:
        await work.trace_changes.block_purges([existing_id], access.readable)
        existing = await work.traces.get_for_answer(existing_id, access.readable)
        if existing is None:
            raise ConcurrentChange
        return CreateResult(trace=existing, is_new=False)
    vector = await work.traces.get_embedding(trace_id, access.readable)
    trace = NewTrace(
        id=uuid4(),
        title=shown.title,
        context=shown.context_text,
        solution=shown.solution_text,
        embedding=vector,
        embedding_model_id=None if vector is None else model.model_id,
        embedding_model_version=None if vector is None else model.model_version,
        status=PENDING,
        contributor_id=caller_id,
        agent_model=shown.agent_model,
        agent_version=shown.agent_version,
        metadata=shown.metadata_json,
        is_seed=False,
        content_hash=hashed,
        namespace_id=target.id,
        promoted_from_id=source.id,
        prior_contributor_ids=(*source.prior_contributor_ids, source.contributor_id),
    )
    if await add(trace, shown.tags, work) is None:
        # The same content was stored since.
        raise ConcurrentChange
    if vector is not None and not await work.trace_tokens.copy(source.id, trace.id) and keeps_tokens(model):
        await work.encoding_jobs.enqueue(trace.id)
    stored = await work.traces.get_for_answer(trace.id, access.readable)
    assert stored is not None  # noqa: S101 - stored above, in the same transaction
    return CreateResult(trace=stored, is_new=True)
