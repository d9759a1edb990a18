"""Models: the tables as SQLAlchemy sees them. The migrations create them; a test compares both."""

from commontrace.storage.models.base import Base
from commontrace.storage.models.bookkeeping import (
    EmbeddingModel,
    EncodingJob,
    IdempotentRequest,
    ImportItem,
    PurgedTrace,
    QuotaWindow,
    TraceEvent,
)
from commontrace.storage.models.namespaces import Namespace, NamespaceMember, RetiredNamespace
from commontrace.storage.models.tags import Tag, TagAlias, TraceTag
from commontrace.storage.models.traces import (
    CREATE_SIGNS_TRIGGER,
    DROP_SIGNS_TRIGGER,
    Trace,
    TraceRevision,
    TraceSigns,
    TraceTokens,
    TraceWords,
)
from commontrace.storage.models.users import ApiKey, User
from commontrace.storage.models.vector_index import VECTOR_INDEX_NAME
from commontrace.storage.models.votes import Vote

__all__ = [
    "CREATE_SIGNS_TRIGGER",
    "DROP_SIGNS_TRIGGER",
    "VECTOR_INDEX_NAME",
    "ApiKey",
    "Base",
    "EmbeddingModel",
    "EncodingJob",
    "IdempotentRequest",
    "ImportItem",
    "Namespace",
    "NamespaceMember",
    "PurgedTrace",
    "QuotaWindow",
    "RetiredNamespace",
    "Tag",
    "TagAlias",
    "Trace",
    "TraceEvent",
    "TraceRevision",
    "TraceSigns",
    "TraceTag",
    "TraceTokens",
    "TraceWords",
    "User",
    "Vote",
]
