"""Export of traces, page by page (keyset pagination): no connection is held between two pages."""

from collections.abc import Sequence
from dataclasses import dataclass

from commontrace.core.traces import filters
from commontrace.domain import limits
from commontrace.domain.namespaces.access import NamespaceAccess
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.embeddings.model import Model
from commontrace.storage.database import Database
from commontrace.storage.keyset import Cursor
from commontrace.storage.traces.export import ExportRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """An export of the traces that pass the filter."""

    trace_filter: ResolvedFilter
    model: tuple[str, str] | None
    """Id and version of the model whose vectors are exported; None leaves vectors out."""
    database: Database

    async def load_page(self, *, after: Cursor | None, size: int) -> Sequence[ExportRow]:
        """Returns the traces after a position, at most `size` and as much text as fits a response; none at the end."""
        if self.trace_filter.matches_nothing:
            return ()
        return await self.database.read(
            lambda reading: reading.trace_export.list_oldest_first(
                self.trace_filter, after=after, size=size, text_bytes=limits.RESPONSE_BYTES, model=self.model
            ),
            trace_filter=self.trace_filter,
        )


async def create_export(
    trace_filter: TraceFilter, access: NamespaceAccess, *, with_embeddings: bool, database: Database, model: Model
) -> Export:
    """Returns an export of the traces that pass the filter, with the vectors of the model if wanted.

    Raises NamespaceNotFound.
    """
    return Export(
        trace_filter=await filters.resolve(trace_filter, access, database),
        model=(model.model_id, model.model_version) if with_embeddings else None,
        database=database,
    )
