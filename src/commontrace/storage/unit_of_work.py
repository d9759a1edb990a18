"""Unit of work and reading: the repositories of one transaction, and the read sides of one connection."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.storage.encoding.jobs import EncodingJobReader, EncodingJobRepository
from commontrace.storage.encoding.models import EmbeddingModelReader, EmbeddingModelRepository
from commontrace.storage.events.repository import EventReader, EventRepository
from commontrace.storage.idempotency import IdempotencyReader, IdempotencyRepository
from commontrace.storage.imports.reader import ImportReader
from commontrace.storage.imports.repository import ImportRepository
from commontrace.storage.keys.quotas import QuotaRepository
from commontrace.storage.keys.repository import KeyReader, KeyRepository
from commontrace.storage.namespaces.access import NamespaceAccessReader
from commontrace.storage.namespaces.members import MemberReader, MemberRepository
from commontrace.storage.namespaces.repository import NamespaceReader, NamespaceRepository
from commontrace.storage.search.keyword import KeywordSearch
from commontrace.storage.search.neighbours import ExactSearch
from commontrace.storage.search.trace_tokens import TraceTokensReader, TraceTokensRepository
from commontrace.storage.search.vector_index_state import VectorIndexReader
from commontrace.storage.search.vector_sample import VectorSample
from commontrace.storage.tags.changes import TagChanges
from commontrace.storage.tags.listing import TagListing
from commontrace.storage.tags.repository import TagReader, TagRepository
from commontrace.storage.traces.changes import TraceChanges
from commontrace.storage.traces.creation import TraceCreation
from commontrace.storage.traces.export import TraceExport
from commontrace.storage.traces.listing import TraceListing
from commontrace.storage.traces.purge import TracePurge
from commontrace.storage.traces.repository import TraceReader, TraceRepository
from commontrace.storage.traces.revisions import RevisionReader, RevisionRepository
from commontrace.storage.transaction import Transaction
from commontrace.storage.users import UserReader, UserRepository
from commontrace.storage.votes.repository import VoteReader, VoteRepository


class UnitOfWork:
    """The repositories of one transaction, yielded by `Database.unit_of_work()`. Leaving its block commits."""

    def __init__(self, transaction: Transaction) -> None:
        self.users = UserRepository(transaction)
        self.keys = KeyRepository(transaction)
        self.namespaces = NamespaceRepository(transaction)
        self.members = MemberRepository(transaction)
        self.tags = TagRepository(transaction)
        self.tag_changes = TagChanges(transaction)
        self.tag_listing = TagListing(transaction)
        self.shown_namespace_ids: set[UUID] = set()
        """The namespaces of all that the answer of this unit of work may show."""
        self.traces = TraceRepository(transaction, self.shown_namespace_ids)
        self.trace_creation = TraceCreation(transaction)
        self.trace_changes = TraceChanges(transaction, self.shown_namespace_ids)
        self.trace_purge = TracePurge(transaction)
        self.trace_tokens = TraceTokensRepository(transaction)
        self.revisions = RevisionRepository(transaction)
        self.votes = VoteRepository(transaction)
        self.events = EventRepository(transaction)
        self.idempotency = IdempotencyRepository(transaction)
        self.imports = ImportRepository(transaction)
        self.quotas = QuotaRepository(transaction)
        self.embedding_models = EmbeddingModelRepository(transaction)
        self.encoding_jobs = EncodingJobRepository(transaction)


class Reading:
    """The read sides of the repositories on one autocommit connection, for `Database.read`.

    A test runs every method of every attribute on a connection that cannot write.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self.users = UserReader(connection)
        self.keys = KeyReader(connection)
        self.namespaces = NamespaceReader(connection)
        self.members = MemberReader(connection)
        self.namespace_access = NamespaceAccessReader(connection)
        self.tags = TagReader(connection)
        self.tag_listing = TagListing(connection)
        self.traces = TraceReader(connection)
        self.trace_listing = TraceListing(connection)
        self.trace_export = TraceExport(connection)
        self.trace_tokens = TraceTokensReader(connection)
        self.revisions = RevisionReader(connection)
        self.votes = VoteReader(connection)
        self.exact_search = ExactSearch(connection)
        self.keyword_search = KeywordSearch(connection)
        self.vector_sample = VectorSample(connection)
        self.vector_index = VectorIndexReader(connection)
        self.events = EventReader(connection)
        self.idempotency = IdempotencyReader(connection)
        self.imports = ImportReader(connection)
        self.embedding_models = EmbeddingModelReader(connection)
        self.encoding_jobs = EncodingJobReader(connection)
