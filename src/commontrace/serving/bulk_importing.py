"""Imports without a server: the service's own importer on a database, under the interface of the client (ADR 0063)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Self
from uuid import UUID

from commontrace.client.streams.import_progress import ITEM_BYTES, too_large
from commontrace.core.namespaces.access_cache import NamespaceAccessCache
from commontrace.core.tags.name_quota import TagNameQuota
from commontrace.domain.caller import Caller
from commontrace.embeddings.model import RecordedModel
from commontrace.fair_sharing.fair_limiter import FairLimiter
from commontrace.fair_sharing.shares import served_user
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import Call, current_call
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.rpc.streams.imports import Importer
from commontrace.serving.bootstrap import Postgres, migrated
from commontrace.settings import Settings
from commontrace.storage.database import Database
from commontrace.v1 import trace_import_pb2

# A transaction holds its rows in memory twice, as messages and as rows; beyond these, nothing gets faster.
_BATCH_ITEMS = 1_000
_BATCH_BYTES = 8 << 20
# With the index, each row takes milliseconds, and a batch must end before the timeout of its statements.
_BATCH_ITEMS_WITH_INDEX = 100
# Items that are read before the event loop goes on with those that are being stored.
_SLICE_ITEMS = 25


class BulkImporter:
    """Stores traces in a database as one caller: the part of `Client` that `commontrace import` uses.

    Every method raises DatabaseUnavailable, Overloaded.
    """

    def __init__(self, database: Database, importer: Importer) -> None:
        self._database = database
        self._importer = importer
        self.has_index = True
        """False while the database has no vector index: then batches are large."""

    def within(self, _seconds: float) -> Self:
        """Returns itself: nothing waits for a server here."""
        return self

    async def import_progress(self, import_id: UUID) -> trace_import_pb2.ImportTracesResponse:
        """Returns the progress of one of the caller's imports, which resumes after its `last_sequence`."""
        question = trace_import_pb2.ImportTracesRequest(import_id=str(import_id))
        async with aclosing(self._importer.acknowledge(_messages([question]))) as responses:
            return await anext(responses)

    async def import_traces(
        self, items: Iterable[trace_import_pb2.ImportItem], *, import_id: UUID, namespace: str = ""
    ) -> AsyncGenerator[trace_import_pb2.ImportResult]:
        """Stores traces in large transactions, and yields the result of each, in order, once it is durable.

        See `Client.import_traces`. The next transaction's items are read and validated while one is stored.
        """
        # Of items that no request could hold, in the order of the batches.
        refused: list[list[trace_import_pb2.ImportResult]] = []
        batches = self._batches(items, refused, import_id=str(import_id), namespace=namespace)
        async with aclosing(self._importer.acknowledge(batches)) as responses:
            async for response in responses:
                for result in sorted([*response.results, *refused.pop(0)], key=lambda result: result.sequence):
                    yield result
        for result in refused.pop() if refused else ():
            yield result

    async def count_waiting(self) -> int:
        """Returns the number of traces in the database that wait for their vectors."""
        return (await self._database.read(lambda reading: reading.encoding_jobs.get_state())).waiting

    async def _batches(
        self,
        items: Iterable[trace_import_pb2.ImportItem],
        refused: list[list[trace_import_pb2.ImportResult]],
        *,
        import_id: str,
        namespace: str,
    ) -> AsyncGenerator[trace_import_pb2.ImportTracesRequest]:
        most_items = _BATCH_ITEMS_WITH_INDEX if self.has_index else _BATCH_ITEMS
        batch, too_large_items, batch_bytes = _empty(import_id, namespace), list[trace_import_pb2.ImportResult](), 0
        for position, item in enumerate(items):
            if position % _SLICE_ITEMS == 0:
                await asyncio.sleep(0)
            size = item.ByteSize()
            if size > ITEM_BYTES:
                too_large_items.append(too_large(item.sequence, size))
                continue
            if batch.items and (len(batch.items) == most_items or batch_bytes + size > _BATCH_BYTES):
                refused.append(too_large_items)
                yield batch
                batch, too_large_items, batch_bytes = _empty(import_id, namespace), [], 0
            batch.items.append(item)
            batch_bytes += size
        refused.append(too_large_items)
        if batch.items:
            yield batch


class _StoredModel:
    """The model of the stored vectors, for an importer that encodes nothing."""

    def __init__(self, database: Database, info: RecordedModel) -> None:
        self._database = database
        self.info = info

    async def refresh(self) -> None:
        self.info = await self._database.read(lambda reading: reading.embedding_models.get_current())


@asynccontextmanager
async def bulk_importer(where: Postgres, settings: Settings, caller: Caller) -> AsyncIterator[BulkImporter]:
    """Yields an importer of the migrated database. Raises NotReady, DatabaseUnavailable, RevisionNotOurs."""
    async with migrated(where, settings) as database:
        recorded = await database.read(lambda reading: reading.embedding_models.get_current())
        importer = Importer(
            database,
            _StoredModel(database, recorded),
            ShutdownSignal(),
            TagNameQuota(settings.quota_tag_names_per_day),
            FairLimiter(1),
            CallAccess(NamespaceAccessCache(database)),
        )
        current_call.set(Call(method="bulk-import", id="", caller=caller))
        served_user.set(caller.email)
        yield BulkImporter(database, importer)


def _empty(import_id: str, namespace: str) -> trace_import_pb2.ImportTracesRequest:
    return trace_import_pb2.ImportTracesRequest(import_id=import_id, namespace=namespace)


async def _messages(
    messages: Iterable[trace_import_pb2.ImportTracesRequest],
) -> AsyncGenerator[trace_import_pb2.ImportTracesRequest]:
    for message in messages:
        yield message
