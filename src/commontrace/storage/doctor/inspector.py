"""Inspector of a database that may be in any state: unreachable, empty, old or damaged. It never writes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, select, text
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.domain.doctor.findings import VectorIndex
from commontrace.domain.doctor.memory import MemoryFacts
from commontrace.domain.doctor.postgres import PostgresFacts, WritingFacts
from commontrace.domain.doctor.vectors import QueueFacts, Reembedded, VectorCounts
from commontrace.domain.errors import InvalidKey
from commontrace.domain.keys.api_key import parse_key
from commontrace.embeddings.model import RecordedModel
from commontrace.storage import engines, migrations
from commontrace.storage.doctor import memory, postgres, vectors
from commontrace.storage.doctor.refusals import InspectionFailed, translate_refusals
from commontrace.storage.encoding.models import EmbeddingModelReader
from commontrace.storage.encoding.next_embedding import COUNTS
from commontrace.storage.encoding.reembedding_lock import IS_BULK_IMPORTING, IS_LOCKED
from commontrace.storage.error_mapping import translate_errors
from commontrace.storage.keys.repository import KeyReader
from commontrace.storage.models import Trace
from commontrace.storage.stored_times import in_utc

_TIMEOUT_MILLISECONDS = 30_000


class DatabaseInspector:
    """Read-only queries of a database in any state. They need no particular revision unless they say so.

    Made by `inspect_database`. Each raises InspectionFailed, DatabaseUnavailable.
    """

    def __init__(self, connection: AsyncConnection, writing: WritingFacts) -> None:
        self._connection = connection
        self.writing = writing
        """Facts on whether other connections can write."""

    async def get_postgres_facts(self) -> PostgresFacts:
        """Returns version, extension, settings and privileges."""
        with translate_refusals():
            return await postgres.find_facts(self._connection)

    async def get_revision(self) -> str | None:
        """Returns the database's revision, None for one that was never migrated. Raises RevisionNotOurs."""
        with translate_refusals():
            return await migrations.get_revision(self._connection)

    async def get_model(self) -> RecordedModel:
        """Returns the model of the stored vectors. Needs the newest revision."""
        with translate_refusals():
            try:
                return await EmbeddingModelReader(self._connection).get_current()
            except NoResultFound:
                raise InspectionFailed("embedding_models names no current model: somebody removed it") from None

    async def get_next_model(self) -> RecordedModel | None:
        """Returns the next model, None if the database is not being re-encoded. Needs the newest revision."""
        with translate_refusals():
            return await EmbeddingModelReader(self._connection).get_next()

    async def get_reembedding_progress(self) -> Reembedded:
        """Returns the progress of re-encoding. Needs a next model."""
        with translate_refusals():
            [counts] = await self._connection.execute(text(COUNTS))
            is_locked = await self._connection.execute(text(IS_LOCKED))
        return Reembedded(done=counts.done, total=counts.total, is_under_way=bool(is_locked.scalar()))

    async def has_only_seeds(self) -> bool:
        """Returns whether every trace is a seed, which came with the service. Needs the newest revision."""
        with translate_refusals():
            return await EmbeddingModelReader(self._connection).has_only_seeds()

    async def get_vector_index(self) -> VectorIndex | None:
        """Returns the vector index, None if there is none."""
        with translate_refusals():
            return await vectors.get_vector_index(self._connection)

    async def get_memory(self) -> MemoryFacts:
        """Returns the sizes of the vector index, of the tables beside it, and of Postgres' buffers."""
        with translate_refusals():
            return await memory.get_memory(self._connection)

    async def is_bulk_importing(self) -> bool:
        """Returns whether a bulk import runs, which drops the vector index and builds it again."""
        with translate_refusals():
            return bool((await self._connection.execute(text(IS_BULK_IMPORTING))).scalar())

    async def count_vectors(self, model: RecordedModel) -> VectorCounts:
        """Counts the live traces that no search of the model finds, in the queue or not. Needs the newest revision."""
        with translate_refusals():
            return await vectors.count_vectors(self._connection, model)

    async def get_queue(self) -> QueueFacts:
        """Returns the state of the encoding queue. Needs the newest revision."""
        with translate_refusals():
            return await vectors.get_queue(self._connection)

    async def get_creation_time(self, trace_id: UUID) -> datetime | None:
        """Returns when a trace was created, deleted or not; None if no trace has the id. Needs the table of traces."""
        with translate_refusals():
            created = (await self._connection.execute(select(Trace.created_at).where(Trace.id == trace_id))).scalar()
        return None if created is None else in_utc(created)

    async def has_live_traces(self) -> bool:
        """Returns whether there is a live trace. Needs the table of traces."""
        with translate_refusals():
            live = select(exists().where(Trace.deleted_at.is_(None)))
            return bool((await self._connection.execute(live)).scalar())

    async def accepts_key(self, key: str) -> bool:
        """Returns whether a server of this database accepts the API key. Needs the newest revision."""
        try:
            wanted = parse_key(key)
        except InvalidKey:
            return False
        with translate_refusals():
            row = await KeyReader(self._connection).get(wanted.id)
        return row is not None and row.state == "LIVE" and row.digest == wanted.digest


@asynccontextmanager
async def inspect_database(url: str) -> AsyncIterator[DatabaseInspector]:
    """Yields an inspector on a connection that cannot write. Raises DatabaseUnavailable, Overloaded."""
    engine = engines.unpooled(url)
    try:
        async with AsyncExitStack() as stack:
            with translate_errors():
                connection = await stack.enter_async_context(engine.connect())
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                writing = await postgres.find_writing_facts(connection)
                await connection.execute(text("SET default_transaction_read_only = on"))
                await connection.execute(text(f"SET statement_timeout = {_TIMEOUT_MILLISECONDS}"))
            yield DatabaseInspector(connection, writing)
    finally:
        await engine.dispose()
