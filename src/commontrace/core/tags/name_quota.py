"""Quota of new tag names for each user and day, shared by all servers of a database.

Names are counted at the end of the transaction that creates them: a rollback costs nothing, and two writes of one user
wait for each other no longer than a commit takes. Existing names cost nothing.
"""

from collections.abc import Iterable

from commontrace.domain.errors import QuotaExceeded
from commontrace.domain.keys.quotas import TAG_NAMES, WINDOWS
from commontrace.domain.tags.allowance import Allowance
from commontrace.storage.unit_of_work import UnitOfWork


class TagNameQuota:
    """The quota of a day; `limit` 0 means none. A trace with nothing but new names fits into a whole quota."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    async def spend(self, email: str, work: UnitOfWork) -> None:
        """Counts the names that the unit of work has created; called at its end. Raises QuotaExceeded."""
        new = work.tags.created_names
        if not self._limit or not new:
            return
        lease = await work.quotas.lease(email, TAG_NAMES, needed=new, wanted=new, limit=self._limit)
        if not lease.granted:
            raise self._refusal(email, lease.seconds_left)

    async def allowance(self, email: str, names: Iterable[str], work: UnitOfWork) -> Allowance | None:
        """Returns the user's allowance of new names, and which of `names` exist; None without a limit."""
        if not self._limit:
            return None
        window = await work.quotas.get_window(email, TAG_NAMES)
        known = await work.tags.get_ids(set(names))
        return Allowance(self._limit - window.used, self._refusal(email, window.seconds_left), known)

    def _refusal(self, email: str, seconds_left: float) -> QuotaExceeded:
        return QuotaExceeded(email, TAG_NAMES, self._limit, per=WINDOWS[TAG_NAMES], retry_after=seconds_left)
