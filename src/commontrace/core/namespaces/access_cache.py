"""Access cache: what callers may reach, for seconds, so that not every call asks the database (ADR 0061)."""

from functools import partial
from typing import NamedTuple

from commontrace.core.keys.cache import FRESH_SECONDS
from commontrace.domain.caller import Caller
from commontrace.domain.namespaces.access import NamespaceAccess
from commontrace.single_flight_cache import SingleFlightCache
from commontrace.storage.database import Database

_CAPACITY = 10_000


class _Reach(NamedTuple):
    """What the access of a caller depends on. All callers without authentication share one."""

    email: str
    is_admin: bool
    bound_names: frozenset[str] | None


class NamespaceAccessCache:
    """The access of callers, each at most FRESH_SECONDS old. Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._accesses: SingleFlightCache[_Reach, NamespaceAccess] = SingleFlightCache(
            _CAPACITY, ttl=lambda _: FRESH_SECONDS
        )

    def get(self, caller: Caller) -> NamespaceAccess | None:
        """Returns the caller's access, None where it has to be loaded."""
        return self._accesses.get(_reach(caller))

    async def load(self, caller: Caller) -> NamespaceAccess:
        """Returns the caller's access. Raises DatabaseUnavailable, Overloaded."""
        reach = _reach(caller)
        return await self._accesses.load(reach, partial(self._load, reach))

    def invalidate_all(self) -> None:
        """Drops every access, and those that are on their way: they may be from before a change."""
        self._accesses.clear()

    async def _load(self, reach: _Reach) -> NamespaceAccess:
        found = await self._database.read_reserved(
            lambda reading: reading.namespace_access.get(reach.email, is_admin=reach.is_admin)
        )
        return NamespaceAccess.of(
            found.grants, covers_all=found.covers_all, is_admin=reach.is_admin, bound_names=reach.bound_names
        )


def _reach(caller: Caller) -> _Reach:
    # An admin's membership makes no difference.
    return _Reach("" if caller.is_admin else caller.email, caller.is_admin, caller.bound_names)
