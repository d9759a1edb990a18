"""Quotas of reads and writes for each user and minute, shared by all servers of a database (ADR 0029).

A server leases ahead what its callers need, so that not every call asks the database: the more, the faster they use it.
Units leased and not used when the minute ends are lost. So a user never gets more than the quota, and at most little
less.
"""

import math
import time
from collections.abc import Mapping
from functools import partial

from commontrace.domain.errors import OperatorNeeded, QuotaExceeded
from commontrace.domain.keys.quotas import READS, WINDOWS
from commontrace.single_flight_cache import SingleFlight, SingleFlightCache
from commontrace.storage.database import Database

# A user whose account is evicted loses what was leased for them, no more.
_ACCOUNTS = 10_000
_WINDOW_SECONDS = 60.0
# A lease used up in less time is followed by one of twice its size.
_LEASE_SECONDS = 1.0
# While the database cannot count, reads go uncounted for so long before it is asked again.
_UNCOUNTED_SECONDS = 1.0
# The minute may end by this clock a little before it ends by the database's.
_LEAST_RETRY_SECONDS = 0.1


class _Account:
    """Units that this server holds of one user's quota. Times are of the monotonic clock.

    `wanted` is the size of the next lease; `refused` is the least amount that was refused in this minute.
    """

    def __init__(self) -> None:
        self.left = 0
        self.ends_at = 0.0
        self.wanted = 1
        self.leased_at = 0.0
        self.refused: int | None = None


class Quotas:
    """Counts what users read and write; `limits` are those of a minute, by kind. Kinds without one are not counted."""

    def __init__(self, database: Database, limits: Mapping[str, int]) -> None:
        self._database = database
        self._uncounted_until = 0.0
        self._limits = limits
        self._accounts: SingleFlightCache[tuple[str, str], _Account] = SingleFlightCache(_ACCOUNTS)
        self._leases: SingleFlight[tuple[str, str], None] = SingleFlight()

    async def spend(self, email: str, kind: str, amount: int = 1) -> None:
        """Takes units from the user's quota. Raises QuotaExceeded, DatabaseUnavailable, Overloaded.

        An amount above the whole quota takes the whole quota: it could never be had otherwise.
        """
        limit = self._limits.get(kind)
        if limit is None or amount == 0:
            return
        if kind == READS and time.monotonic() < self._uncounted_until:
            return
        amount = min(amount, limit)
        account = self._account((email, kind))
        while True:
            now = time.monotonic()
            if now >= account.ends_at:
                account.left, account.refused = 0, None
            if account.left >= amount:
                account.left -= amount
                return
            if account.refused is not None and amount - account.left >= account.refused:
                raise QuotaExceeded(email, kind, limit, per=WINDOWS[kind], retry_after=_rounded(account.ends_at - now))
            lease = partial(self._lease, account, email, kind, amount - account.left)
            try:
                await self._leases.run((email, kind), lease)
            except OperatorNeeded:
                # The database cannot count (it is read-only, say): reads go on, uncounted.
                if kind != READS:
                    raise
                self._uncounted_until = time.monotonic() + _UNCOUNTED_SECONDS
                return

    async def _lease(self, account: _Account, email: str, kind: str, needed: int) -> None:
        began, limit = time.monotonic(), self._limits[kind]
        is_fast = began - account.leased_at < _LEASE_SECONDS
        account.wanted = min(2 * account.wanted, limit) if is_fast else max(account.wanted // 2, 1)
        lease = await self._database.lease_quota(
            email, kind, needed=needed, wanted=max(needed, account.wanted), limit=limit
        )
        # Counted from before the query, so that the window never lasts longer than by the database's clock.
        ends_at = began + lease.seconds_left
        if ends_at - account.ends_at > _WINDOW_SECONDS / 2:
            # A new minute has begun, before the query or during it.
            account.left, account.refused = 0, None
        account.ends_at = ends_at
        account.left += lease.granted
        account.leased_at = began
        if not lease.granted:
            # Smaller amounts may still be granted.
            account.refused = needed if account.refused is None else min(account.refused, needed)

    def _account(self, key: tuple[str, str]) -> _Account:
        account = self._accounts.get(key)
        if account is None:
            account = _Account()
            self._accounts.put(key, account)
        return account


def _rounded(seconds: float) -> float:
    return max(math.ceil(seconds * 10) / 10, _LEAST_RETRY_SECONDS)
