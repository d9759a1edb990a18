"""Searches on a database that may be moved to another embedding model at any moment."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from commontrace.core import ranked_search
from commontrace.domain.deadline import Deadline
from commontrace.domain.errors import ModelReplaced
from commontrace.domain.search.query import Found, Search, StopReason
from commontrace.embeddings.served_model import ServedModel

if TYPE_CHECKING:
    from commontrace.storage.database import Database


async def find(asked: Callable[[], Search], *, deadline: Deadline, database: "Database", model: ServedModel) -> Found:
    """Returns what `ranked_search.find` does, by the database's current model.

    `asked` is asked again whenever the model was replaced meanwhile, and may refuse what no longer fits. Raises
    TraceNotFound, EmbedderUnavailable, ModelReplaced where the database contradicts its own record.
    """
    while True:
        queries = model.queries
        search = asked()
        try:
            found = await ranked_search.find(search, deadline=deadline, database=database, queries=queries)
        except ModelReplaced:
            if await model.is_still(queries):
                raise
            continue
        # Enough is enough: only traces of the model are found. None, or few, may mean that there are none any more.
        if found.stop_reason in _PROVES_ITSELF or await model.is_still(queries):
            return found


# The second had no time for what it would take to know.
_PROVES_ITSELF = (StopReason.LIMIT, StopReason.SCAN_BUDGET)
