"""Key cache: the callers behind API keys, for seconds, so that not every call asks the database (ADR 0027)."""

import asyncio
import hmac
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog

from commontrace.core.keys.batched_lookup import BatchedLookup
from commontrace.domain.caller import Caller
from commontrace.domain.errors import InvalidKey, Overloaded
from commontrace.domain.keys.api_key import ApiKey, key_digest, parse_key
from commontrace.domain.log_safety import safe_message
from commontrace.domain.scopes import Scope
from commontrace.single_flight_cache import SingleFlightCache
from commontrace.storage.database import Database

log = structlog.get_logger()

FRESH_SECONDS = 4.0
"""The time to live of a confirmed key where no change of it is announced, the database away or not."""

MOST_STRANGERS = 256
"""How many keys never confirmed here are looked up at once: as many as callers of a server that was just replaced."""

_REFUSED_SECONDS = 2.0
_CAPACITY, _REFUSED_CAPACITY = 10_000, 1_000
_USAGE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Confirmed:
    caller: Caller
    ttl_seconds: float


class KeyCache:
    """The callers behind keys. Belongs to one event loop.

    Keys are cached by their digest, confirmed and refused ones apart, so that guesses evict no key that callers use.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._confirmed: SingleFlightCache[bytes, _Confirmed] = SingleFlightCache(
            _CAPACITY, ttl=lambda confirmed: confirmed.ttl_seconds
        )
        self._refused: SingleFlightCache[bytes, str] = SingleFlightCache(
            _REFUSED_CAPACITY, ttl=lambda _: _REFUSED_SECONDS
        )
        self._used: set[UUID] = set()
        self._rows = BatchedLookup(lambda ids: database.read_reserved(lambda reading: reading.keys.get_many(ids)))

    def get(self, text: str) -> Caller | None:
        """Returns the key's caller, None where it has to be loaded. Raises InvalidKey for one refused lately."""
        digest = key_digest(text)
        confirmed = self._confirmed.get(digest)
        if confirmed is not None:
            return self._mark_used(confirmed.caller)
        problem = self._refused.get(digest)
        if problem is not None:
            raise InvalidKey(problem)
        return None

    async def load(self, text: str) -> Caller:
        """Returns the key's caller; those who send the same key share one query, unless keys changed meanwhile.

        Raises InvalidKey, DatabaseUnavailable, Overloaded.
        """
        key = parse_key(text)
        begins_load = not self._confirmed.is_loading(key.digest)
        if begins_load and self._is_stranger(key.digest) and self._strangers_loading() >= MOST_STRANGERS:
            raise Overloaded("too many keys that are new to this server are being looked up")
        confirmed = await self._confirmed.load(key.digest, partial(self._confirm, key))
        return self._mark_used(confirmed.caller)

    def invalidate(self, key_id: UUID) -> None:
        """Drops a key that has changed, and the answers that are on their way: they may be from before."""
        self._confirmed.delete(lambda confirmed: confirmed.caller.key_id == key_id)

    def invalidate_all(self) -> None:
        """Drops every key, and the answers that are on their way."""
        self._confirmed.clear()

    async def run_usage_recorder(self) -> None:
        """Runs until cancelled: stores which keys are in use, once a minute."""
        while True:
            await asyncio.sleep(_USAGE_SECONDS)
            await self.save_usage()

    async def save_usage(self) -> None:
        """Stores which keys were used since the last time. Failures are logged, and their keys kept for the next."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            async with self._database.unit_of_work() as work:
                await work.keys.record_use(used)
        except Exception as error:  # noqa: BLE001 - whatever it is, calls go on, and it is tried again
            self._used |= used
            log.warning("the use of keys could not be noted", error=safe_message(error))

    def _is_stranger(self, digest: bytes) -> bool:
        return not self._confirmed.holds(digest)

    def _strangers_loading(self) -> int:
        return sum(map(self._is_stranger, self._confirmed.loading))

    async def _confirm(self, key: ApiKey) -> _Confirmed:
        row = await self._rows.get(key.id)
        if row is None or not hmac.compare_digest(row.digest, key.digest):
            raise self._refuse(key.digest, "UNKNOWN")
        if row.state != "LIVE":
            raise self._refuse(key.digest, row.state)
        return _Confirmed(
            caller=Caller(
                email=row.email,
                scopes=frozenset(map(Scope, row.scopes)),
                key_id=key.id,
                bound_names=None if row.namespaces is None else frozenset(row.namespaces),
            ),
            ttl_seconds=FRESH_SECONDS if row.seconds_left is None else min(FRESH_SECONDS, row.seconds_left),
        )

    def _refuse(self, digest: bytes, problem: str) -> InvalidKey:
        self._refused.put(digest, problem)
        return InvalidKey(problem)

    def _mark_used(self, caller: Caller) -> Caller:
        if caller.key_id is not None:
            self._used.add(caller.key_id)
        return caller
