"""State of the vector index: whether searches can go by it (ADR 0063)."""

from sqlalchemy import text

from commontrace.storage import advisory_lock
from commontrace.storage.executor import Executor
from commontrace.storage.models import VECTOR_INDEX_NAME

FRESH_SECONDS = 2.0
"""The longest time for which a server goes on with the state that it has looked up."""

OUT_OF_USE_LOCK = 0x64726F70
"""Advisory lock: whoever holds it is about to drop the vector index, so that searches leave it before."""

# An index that is being built is in the catalogue, and invalid.
IS_COMPLETE = f"""
    SELECT EXISTS (
        SELECT FROM pg_index WHERE indexrelid = to_regclass('{VECTOR_INDEX_NAME}') AND indisvalid AND indisready
    )"""  # noqa: S608 - our own name
"""SQL: whether the vector index is there and complete."""
_IS_USABLE = text(f"{IS_COMPLETE} AND NOT {advisory_lock.is_held_sql(OUT_OF_USE_LOCK)}")


class VectorIndexReader:
    """State of the vector index, as the catalogue and the locks have it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def is_usable(self) -> bool:
        """Returns whether the index is complete, and not about to be dropped."""
        return bool((await self._executor.execute(_IS_USABLE)).scalar_one())
