"""The repositories, bound to one transaction or to one connection without."""

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.storage.encoding.jobs import EncodingJobRepository
from commontrace.storage.encoding.models import EmbeddingModelRepository
from commontrace.storage.events.repository import EventRepository
from commontrace.storage.idempotency import IdempotencyRepository
from commontrace.storage.imports.repository import ImportRepository
from commontrace.storage.keys.quotas import QuotaRepository
from commontrace.storage.keys.repository import KeyRepository
from commontrace.storage.search.keyword import KeywordSearch
from commontrace.storage.search.neighbours import ExactSearch
from commontrace.storage.search.vector_sample import VectorSample
from commontrace.storage.tags.changes import TagChanges
from commontrace.storage.tags.listing import TagListing
from commontrace.storage.tags.repository import TagRepository
from commontrace.storage.traces.changes import TraceChanges
from commontrace.storage.traces.export import TraceExport
from commontrace.storage.traces.listing import TraceListing
from commontrace.storage.traces.purge import TracePurge
from commontrace.storage.traces.repository import TraceRepository
from commontrace.storage.traces.revisions import RevisionRepository
from commontrace.storage.users import UserRepository
from commontrace.storage.votes.repository import VoteRepository


class UnitOfWork:
    """What `Database.unit_of_work()` yields. Nothing here commits: leaving the block does."""

    def __init__(self, session: AsyncSession) -> None:
        """Takes a session with an open transaction."""
        self.users = UserRepository(session)
        self.keys = KeyRepository(session)
        self.tags = TagRepository(session)
        self.tag_changes = TagChanges(session)
        self.tag_listing = TagListing(session)
        self.traces = TraceRepository(session)
        self.trace_changes = TraceChanges(session)
        self.trace_purge = TracePurge(session)
        self.revisions = RevisionRepository(session)
        self.votes = VoteRepository(session)
        self.events = EventRepository(session)
        self.idempotency = IdempotencyRepository(session)
        self.imports = ImportRepository(session)
        self.quotas = QuotaRepository(session)
        self.embedding_models = EmbeddingModelRepository(session)
        self.encoding_jobs = EncodingJobRepository(session)


class Reading:
    """What the questions of `Database.read` are asked of: nothing here writes."""

    def __init__(self, connection: AsyncConnection) -> None:
        """Takes an autocommit connection."""
        self.users = UserRepository(connection)
        self.keys = KeyRepository(connection)
        self.tags = TagRepository(connection)
        self.tag_listing = TagListing(connection)
        self.traces = TraceRepository(connection)
        self.listing = TraceListing(connection)
        self.export = TraceExport(connection)
        self.revisions = RevisionRepository(connection)
        self.votes = VoteRepository(connection)
        self.search = ExactSearch(connection)
        self.keywords = KeywordSearch(connection)
        self.vector_sample = VectorSample(connection)
        self.events = EventRepository(connection)
        self.idempotency = IdempotencyRepository(connection)
        self.imports = ImportRepository(connection)
        self.embedding_models = EmbeddingModelRepository(connection)
        self.encoding_jobs = EncodingJobRepository(connection)
