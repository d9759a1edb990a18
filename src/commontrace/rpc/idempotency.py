"""Idempotent writes: one transaction each, executed once for each `request_id` (ADR 0007)."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from commontrace.core.concurrent_changes import pause_after
from commontrace.core.tags.name_quota import TagNameQuota
from commontrace.core.user_ids import UserIdCache
from commontrace.domain.errors import CommonTraceError, ConcurrentChange, ModelReplaced, NamespaceNotFound
from commontrace.embeddings.active_model import ActiveModel
from commontrace.fair_sharing.slot_release import slot_released
from commontrace.rpc import services
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import current_call, current_caller
from commontrace.rpc.canonical_bytes import canonical_bytes
from commontrace.storage.database import Database
from commontrace.storage.idempotency import RequestKey, StoredAnswer
from commontrace.storage.unit_of_work import UnitOfWork

Result = TypeVar("Result")
StoredResult = TypeVar("StoredResult", covariant=True)
Response = TypeVar("Response", bound=Message)

# More within one call mean a record that contradicts the stored vectors, not a re-encoding (ADR 0020).
_MODEL_REPLACEMENTS = 5


class Prepared(Protocol[StoredResult]):
    """A write that is ready for its transaction: what it reads and encodes before is done."""

    async def store(self, work: UnitOfWork, caller_id: UUID, /) -> StoredResult:
        """Stores it for the caller with that user id. Raises ConcurrentChange where the preparation is outdated."""


Preparation = Callable[[], Awaitable[Prepared[Result]]]
"""Reads and encodes what a write needs, while no transaction is open. Repeated after each ConcurrentChange."""


class Unprepared(Generic[Result]):
    """The preparation of a write that reads nothing outside its transaction."""

    def __init__(self, store: Callable[[UnitOfWork, UUID], Awaitable[Result]]) -> None:
        self._store = store

    async def __call__(self) -> Prepared[Result]:
        """Returns itself."""
        return self

    async def store(self, work: UnitOfWork, caller_id: UUID, /) -> Result:
        """Stores it for the caller with that user id."""
        return await self._store(work, caller_id)


class IdempotentWrites:
    """Executes writes, and stores each answer in the transaction of its write."""

    def __init__(self, database: Database, model: ActiveModel, tag_names: TagNameQuota, access: CallAccess) -> None:
        self._database = database
        self._access = access
        self._model = model
        self._tag_names = tag_names
        self._user_ids = UserIdCache()

    async def execute(
        self,
        request: Message,
        prepare: Preparation[Result],
        pack: Callable[[Result], Response],
        *,
        dry_run: bool = False,
    ) -> Response:
        """Returns the packed result, or the stored answer where the same request was executed before.

        With `dry_run`, nothing is stored, not even the answer. Raises RequestIdReused, AnswerErased, what the write
        raises, and Overloaded where concurrent changes outdate every attempt.
        """
        key = None if dry_run else _key(request)
        # Claiming the key is the cheaper look-up where no preparation can be saved.
        looks_up = not isinstance(prepare, Unprepared)
        outdated = replaced = 0
        while True:
            answer: Response | None = await self._find_answer(key, request) if looks_up else None
            if answer is not None:
                return answer
            try:
                return await self._store(await prepare(), pack, key, dry_run=dry_run)
            except _Answered:
                looks_up = True
            except ModelReplaced:
                await self._model.refresh()
                replaced += 1
                if replaced > _MODEL_REPLACEMENTS:
                    raise
            except ConcurrentChange as error:
                self._user_ids.forget(current_caller().email)
                outdated += 1
                pause = pause_after(outdated, error)
                async with slot_released():
                    await asyncio.sleep(pause)
            except CommonTraceError:
                # The cause may be a twin of this request that has just succeeded: its answer counts.
                of_twin: Response | None = await self._find_answer(key, request) if looks_up else None
                if of_twin is None:
                    raise
                return of_twin

    async def _find_answer(self, key: RequestKey | None, request: Message) -> Any:
        """Returns the stored answer to the request, None for one that is new or has no key."""
        if key is None:
            return None
        email = current_caller().email
        answer = await self._database.read(lambda reading: reading.idempotency.get_answer(key, email))
        if answer is None:
            return None
        await self._require_readable(answer.namespace_ids)
        return services.response_type(type(request)).FromString(answer.message)

    async def _require_readable(self, namespace_ids: Collection[UUID]) -> None:
        """Raises NamespaceNotFound where the caller may no longer read what a stored answer shows."""
        access = await self._access.resolve()
        lost = [namespace_id for namespace_id in namespace_ids if namespace_id not in access.roles]
        if lost:
            names = await self._database.read(lambda reading: reading.namespaces.list_names(lost))
            raise NamespaceNotFound(names[0])

    async def _store(
        self, prepared: Prepared[Result], pack: Callable[[Result], Response], key: RequestKey | None, *, dry_run: bool
    ) -> Response:
        email, responses = current_caller().email, list[Response]()
        with suppress(_DryRun):
            async with self._database.unit_of_work() as work:
                caller_id = await self._user_ids.get_or_create(email, work)
                if key is not None and not await work.idempotency.reserve(key, caller_id):
                    raise _Answered
                responses.append(pack(await prepared.store(work, caller_id)))
                await self._tag_names.spend(email, work)
                if key is not None:
                    answer = StoredAnswer(responses[0].SerializeToString(), work.shown_namespace_ids)
                    await work.idempotency.save_answer(key, caller_id, answer)
                _roll_back_if(dry_run)
            self._user_ids.remember(email, caller_id)
        return responses[0]


class _Answered(Exception):
    """A twin of the request was faster: its answer is stored."""


class _DryRun(Exception):
    """Rolls the transaction back."""


def _roll_back_if(dry_run: bool) -> None:  # noqa: FBT001 - its only argument
    if dry_run:
        raise _DryRun


def _key(request: Any) -> RequestKey | None:
    if not request.request_id:
        return None
    fingerprint = hashlib.sha256(canonical_bytes(request, without=("request_id",))).digest()
    return RequestKey(method=current_call.get().method, request_id=UUID(request.request_id), fingerprint=fingerprint)
