"""Read side of imports: progress of an import, for its caller and for a resumed stream."""

from uuid import UUID

from sqlalchemy import String, Uuid, bindparam, func, select

from commontrace.storage.executor import Executor
from commontrace.storage.models import ImportItem, User

# Not joined: the end of the primary key's index answers for the highest sequence.
_OF_USERS_IMPORT = (
    ImportItem.caller_id == select(User.id).where(User.email == bindparam("email", type_=String)).scalar_subquery(),
    ImportItem.import_id == bindparam("of_import_id", type_=Uuid),
)
# Built once: building a statement costs more than running it.
_LAST = select(func.coalesce(func.max(ImportItem.sequence), 0)).where(*_OF_USERS_IMPORT)
_COUNTS = select(func.count().filter(ImportItem.is_new), func.count().filter(~ImportItem.is_new)).where(
    *_OF_USERS_IMPORT
)


class ImportReader:
    """Imports by user and import id."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get_last_sequence(self, import_id: UUID, email: str) -> int:
        """Returns the highest sequence of a user's import that was stored, 0 before the first."""
        return (await self._executor.execute(_LAST, {"of_import_id": import_id, "email": email})).scalar_one()

    async def count_items(self, import_id: UUID, email: str) -> tuple[int, int]:
        """Returns how many items of a user's import were stored, and how many existed already."""
        created, existing = (await self._executor.execute(_COUNTS, {"of_import_id": import_id, "email": email})).one()
        return created, existing
