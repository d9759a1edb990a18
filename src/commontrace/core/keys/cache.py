"""Whose the keys are that callers send: asked of the database, and remembered for seconds."""

import asyncio
import hmac
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

import structlog

from commontrace.core.keys.batched_lookup import BatchedLookup
from commontrace.domain.caller import Caller
from commontrace.domain.errors import CommonTraceError, InvalidKey, Overloaded
from commontrace.domain.keys.api_key import ApiKey, digest_of, parsed
from commontrace.domain.log_safety import safe_message
from commontrace.domain.scopes import Scope
from commontrace.storage.database import Database

log = structlog.get_logger()

FRESH_SECONDS = 4.0
"""So long an answer is taken for true where nobody says that it has changed, the database away or not."""

MOST_STRANGERS = 256
"""How many keys that were never confirmed here are asked for at once: as many as callers of a server just replaced."""

_REFUSED_SECONDS = 2.0
_CAPACITY, _REFUSED_CAPACITY = 10_000, 1_000
_USE_SECONDS = 60.0
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    caller: Caller
    until: float


class KeyCache:
    """The callers behind keys. Belongs to one event loop.

    Keys are remembered by their digest, valid and refused ones apart, so that nobody's guesses push out what others
    call with; the longest unused go first.
    """

    def __init__(self, database: Database) -> None:
        """Takes where keys are stored."""
        self._database = database
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._digests: dict[UUID, bytes] = {}
        self._asking: dict[bytes, asyncio.Task[Caller]] = {}
        self._used: set[UUID] = set()
        self._rows = BatchedLookup(lambda ids: database.read_reserved(lambda reading: reading.keys.get_many(ids)))

    def recall(self, text: str) -> Caller | None:
        """Returns who holds the key, None where that has to be asked. Raises InvalidKey for one refused lately."""
        digest, now = digest_of(text), asyncio.get_running_loop().time()
        known = self._known.get(digest)
        if known is not None and now < known.until:
            self._known.move_to_end(digest)
            return self._noted(known.caller)
        problem, until = self._refused.get(digest, ("", 0.0))
        if now < until:
            raise InvalidKey(problem)
        return None

    async def ask(self, text: str) -> Caller:
        """Returns who holds the key; callers with the same one share the question, unless keys changed meanwhile.

        Raises InvalidKey, DatabaseUnavailable, Overloaded.
        """
        key = parsed(text)
        digest = key.digest
        asking = self._asking.get(digest)
        if asking is None:
            if digest not in self._known and self._strangers() >= MOST_STRANGERS:
                raise Overloaded("too many keys that are new to this server are being looked up")
            asking = self._asking[digest] = asyncio.create_task(self._ask(key))
            asking.add_done_callback(lambda done: self._asked(digest, done))
        # Who leaves does not take the answer from the others.
        return self._noted(await asyncio.shield(asking))

    def forget(self, key_id: UUID) -> None:
        """Asks anew when the key is sent next."""
        self._outdate_questions()
        self._known.pop(self._digests.pop(key_id, b""), None)

    def forget_all(self) -> None:
        """Asks for every key anew."""
        self._outdate_questions()
        self._known.clear()
        self._digests.clear()

    async def follow(self) -> None:
        """Runs until cancelled: forgets each key that has changed, as soon as the database says so."""
        while True:
            try:
                async with self._database.listen_for_key_changes(self.forget) as lost:
                    # What changed while nobody listened was not heard.
                    self.forget_all()
                    await lost.wait()
            except CommonTraceError as error:
                log.debug("changes of keys are not heard; each is asked for anew within seconds", error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)

    async def run_usage_recorder(self) -> None:
        """Runs until cancelled: remembers which keys are in use, once a minute."""
        while True:
            await asyncio.sleep(_USE_SECONDS)
            await self.note_use()

    async def note_use(self) -> None:
        """Stores which keys were used since the last time."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            async with self._database.unit_of_work() as work:
                await work.keys.record_use(used)
        except Exception as error:  # noqa: BLE001 - whatever it is, calls go on, and it is tried again
            self._used |= used
            log.warning("the use of keys could not be noted", error=safe_message(error))

    def _strangers(self) -> int:
        return sum(digest not in self._known for digest in self._asking)

    def _outdate_questions(self) -> None:
        # What changed after a question may not be in its answer: nobody joins it, and it is not remembered.
        self._asking.clear()

    async def _ask(self, key: ApiKey) -> Caller:
        loop = asyncio.get_running_loop()
        # Counted from before the question: whatever is in the answer was true then, however late it comes.
        asked_at = loop.time()
        row = await self._rows.answer(key.id)
        now = loop.time()
        if row is None or not hmac.compare_digest(row.digest, key.digest):
            raise self._refuse(key.digest, "UNKNOWN", now)
        if row.state != "LIVE":
            raise self._refuse(key.digest, row.state, now)
        caller = Caller(email=row.email, scopes=frozenset(map(Scope, row.scopes)), key_id=key.id)
        if self._asking.get(key.digest) is asyncio.current_task():
            fresh = FRESH_SECONDS if row.seconds_left is None else min(FRESH_SECONDS, row.seconds_left)
            self._remember(key, _Known(caller=caller, until=asked_at + fresh))
        return caller

    def _remember(self, key: ApiKey, known: _Known) -> None:
        self._known[key.digest] = known
        self._known.move_to_end(key.digest)
        self._digests[key.id] = key.digest
        while len(self._known) > _CAPACITY:
            _, dropped = self._known.popitem(last=False)
            if dropped.caller.key_id is not None:
                self._digests.pop(dropped.caller.key_id, None)

    def _refuse(self, digest: bytes, problem: str, now: float) -> InvalidKey:
        self._refused[digest] = (problem, now + _REFUSED_SECONDS)
        while len(self._refused) > _REFUSED_CAPACITY:
            self._refused.popitem(last=False)
        return InvalidKey(problem)

    def _noted(self, caller: Caller) -> Caller:
        if caller.key_id is not None:
            self._used.add(caller.key_id)
        return caller

    def _asked(self, digest: bytes, done: asyncio.Task[Caller]) -> None:
        if self._asking.get(digest) is done:
            del self._asking[digest]
        if not done.cancelled():
            # Taken, so that it counts as seen even where everybody has left.
            done.exception()
