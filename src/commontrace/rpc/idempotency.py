"""Writes: one transaction each, carried out once for each request id."""

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from commontrace.core.tags.name_quota import TagNameQuota
from commontrace.domain.errors import CommonTraceError, ConcurrentChange, ModelReplaced
from commontrace.embeddings.active_model import ActiveModel
from commontrace.rpc.call import current_call, current_caller
from commontrace.rpc.canonical_bytes import canonical_bytes
from commontrace.storage.database import Database
from commontrace.storage.idempotency import RequestKey
from commontrace.storage.unit_of_work import UnitOfWork

Response = TypeVar("Response", bound=Message)
Write = Callable[[UnitOfWork, UUID], Awaitable[Response]]
"""What happens inside the transaction, for the caller with that user id."""
Preparation = Callable[[], Awaitable[Write[Response]]]
"""What happens before, while nothing is open: reading, encoding."""

# More while one call is answered are none, but a record that does not say what the vectors are.
_REPLACEMENTS = 5


class _DryRun(Exception):
    """Rolls back what was only tried."""


class IdempotentWrites:
    """Carries writes out and remembers their answers beside them, in the same transaction."""

    def __init__(self, database: Database, model: ActiveModel, tag_names: TagNameQuota) -> None:
        """Takes where to write, whose vectors, and how many tags may get new names."""
        self._database = database
        self._model = model
        self._tag_names = tag_names

    async def answer(self, request: Message, response_type: type[Response], write: Write[Response]) -> Response:
        """Returns what `write` returns, or what it returned to the same request before. Raises RequestIdReused."""
        key = _key(request)
        while True:
            try:
                return await self._carry_out(write, key)
            except ConcurrentChange:
                continue
            except _Answered:
                known = await self._known(key)
                if known is not None:
                    return response_type.FromString(known)

    async def answer_prepared(
        self, request: Message, response_type: type[Response], prepare: Preparation[Response], *, dry_run: bool = False
    ) -> Response:
        """Does the same for a write that is prepared first, anew whenever others were faster.

        With `dry_run`, nothing is stored, not even the answer.
        """
        key = None if dry_run else _key(request)
        replacements = 0
        while True:
            known = await self._known(key)
            if known is not None:
                return response_type.FromString(known)
            try:
                return await self._carry_out(await prepare(), key, dry_run=dry_run)
            except ModelReplaced:
                await self._model.refresh()
                replacements += 1
                if replacements > _REPLACEMENTS:
                    raise
            except (ConcurrentChange, _Answered):
                continue
            except CommonTraceError:
                # What stands in the way may be the work of a twin that has just finished.
                known = await self._known(key)
                if known is None:
                    raise
                return response_type.FromString(known)

    async def _known(self, key: RequestKey | None) -> bytes | None:
        if key is None:
            return None
        email = current_caller().email
        return await self._database.read(lambda reading: reading.idempotency.get_answer(key, email))

    async def _carry_out(self, write: Write[Response], key: RequestKey | None, *, dry_run: bool = False) -> Response:
        email, tried = current_caller().email, list[Response]()
        with suppress(_DryRun):
            async with self._database.unit_of_work() as work:
                caller_id = await work.users.get_or_create(email)
                if key is not None and not await work.idempotency.reserve(key, caller_id):
                    raise _Answered
                tried.append(await write(work, caller_id))
                await self._tag_names.spend(email, work)
                if key is not None:
                    await work.idempotency.save_answer(key, caller_id, tried[0].SerializeToString())
                _roll_back_if(dry_run)
        return tried[0]


class _Answered(Exception):
    """A twin was faster: its answer is stored."""


def _roll_back_if(dry_run: bool) -> None:  # noqa: FBT001 - its only argument
    if dry_run:
        raise _DryRun


def _key(request: Any) -> RequestKey | None:
    if not request.request_id:
        return None
    fingerprint = hashlib.sha256(canonical_bytes(request, without=("request_id",))).digest()
    return RequestKey(method=current_call.get().method, request_id=UUID(request.request_id), fingerprint=fingerprint)
