"""Export of traces, page by page (keyset pagination): no connection is held between two pages."""

from collections.abc import Sequence
from dataclasses import dataclass

from commontrace.core.traces import filter_tags
from commontrace.domain import limits
from commontrace.domain.traces.trace_filter import ResolvedFilter, TraceFilter
from commontrace.embeddings.model import Model
from commontrace.storage.database import Database
from commontrace.storage.keyset import Cursor
from commontrace.storage.traces.export import ExportRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """An export. Without a filter it has every live trace, superseded ones too."""

    trace_filter: ResolvedFilter | None
    model: tuple[str, str] | None
    """Id and version of the model whose vectors are exported; None leaves vectors out."""
    database: Database

    async def load_page(self, *, after: Cursor | None, size: int) -> Sequence[ExportRow]:
        """Returns the traces after a position, at most `size` and as much text as fits a response; none at the end."""
        if self.trace_filter is not None and self.trace_filter.matches_nothing:
            return ()
        return await self.database.read(
            lambda reading: reading.trace_export.list_oldest_first(
                self.trace_filter, after=after, size=size, text_bytes=limits.RESPONSE_BYTES, model=self.model
            ),
            trace_filter=self.trace_filter,
        )


async def create_export(
    trace_filter: TraceFilter | None, *, with_embeddings: bool, database: Database, model: Model
) -> Export:
    """Returns an export of the traces that pass the filter, with the vectors of the model if wanted."""
    return Export(
        trace_filter=None if trace_filter is None else await filter_tags.resolve_tags(trace_filter, database),
        model=(model.model_id, model.model_version) if with_embeddings else None,
        database=database,
    )
