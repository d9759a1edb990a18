"""Contributions, and new traces made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from commontrace.domain.namespaces.namespace import COMMONS_ID
from commontrace.domain.traces.content_hash import content_hash
from commontrace.embeddings.embedder import Embedder, Embedding, Vector
from commontrace.embeddings.token_signs import TokenSigns

PENDING = "pending"
VALIDATED = "validated"

TEXTS = ("title", "context", "solution")
"""The fields that the content hash covers, the embedding model reads and a revision keeps."""


class OnDuplicate(Enum):
    """Policy for a contribution whose content a live trace has already (ADR 0008)."""

    RETURN_EXISTING = "return_existing"
    REJECT = "reject"
    ALLOW = "allow"


@dataclass(frozen=True, kw_only=True, slots=True)
class Contribution:
    """A trace as contributed. Tags need not be canonical names yet."""

    title: str
    context: str
    solution: str
    tags: tuple[str, ...] = ()
    agent_model: str = ""
    agent_version: str = ""
    metadata: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The text that the embedding model reads."""
        return embedding_text(self.title, self.context, self.solution)

    @property
    def content_hash(self) -> bytes:
        """The hash that contributions of the same content share."""
        return content_hash(self.title, self.context, self.solution)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTrace:
    """A trace ready to be stored.

    `embedding` has shape (dimensions,) and unit length. It, its model and the signs of the tokens are None for a trace
    that waits for encoding; models without token vectors leave None for the signs, too.
    """

    id: UUID
    title: str
    context: str
    solution: str
    embedding: Vector | None
    embedding_model_id: str | None
    embedding_model_version: str | None
    token_signs: TokenSigns | None = None
    status: str
    contributor_id: UUID
    agent_model: str
    agent_version: str
    metadata: Mapping[str, Any]
    is_seed: bool
    content_hash: bytes | None = None
    """None where duplicates are allowed."""
    supersedes_id: UUID | None = None
    namespace_id: UUID = COMMONS_ID
    promoted_from_id: UUID | None = None
    prior_contributor_ids: tuple[UUID, ...] = ()
    """The contributors of the trace that it is a copy of, and of those that this is a copy of."""


def new_trace(
    contribution: Contribution,
    embedding: Embedding | None,
    *,
    embedder: Embedder,
    trace_id: UUID,
    contributor_id: UUID,
    content_hash: bytes | None = None,
    supersedes_id: UUID | None = None,
    namespace_id: UUID = COMMONS_ID,
    status: str = PENDING,
    is_seed: bool = False,
) -> NewTrace:
    """Returns the trace of a contribution. Without an embedding, it waits for encoding."""
    return NewTrace(
        id=trace_id,
        title=contribution.title,
        context=contribution.context,
        solution=contribution.solution,
        embedding=None if embedding is None else embedding.vector,
        embedding_model_id=None if embedding is None else embedder.model_id,
        embedding_model_version=None if embedding is None else embedder.model_version,
        token_signs=None if embedding is None else embedding.token_signs,
        status=status,
        contributor_id=contributor_id,
        agent_model=contribution.agent_model,
        agent_version=contribution.agent_version,
        metadata=contribution.metadata,
        is_seed=is_seed,
        content_hash=content_hash,
        supersedes_id=supersedes_id,
        namespace_id=namespace_id,
    )


def embedding_text(title: str, context: str, solution: str) -> str:
    """Returns the text that the embedding model reads, the title first: the model may not read to the end."""
    return f"{title}\n\n{context}\n\n{solution}"


def etag(edit_number: int) -> str:
    """Returns the etag of a trace after so many edits by its owner (ADR 0008)."""
    return f"e{edit_number}"
