"""Writes that were asked for under an id, and their answers."""

from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, ScalarSelect, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.core.errors import RequestIdReused
from commontrace.storage.models import IdempotentRequest, User

KEPT = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestKey:
    """What a caller asked for. Requests with the same fields have the same fingerprint."""

    method: str
    request_id: UUID
    fingerprint: bytes


class IdempotencyRepository:
    """The answers of the last 24 hours."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask."""
        self._session = session

    async def answer_of(self, key: RequestKey, email: str) -> bytes | None:
        """Returns the stored answer, or None for a request that is new. Raises RequestIdReused."""
        caller = select(User.id).where(User.email == email).scalar_subquery()
        query = select(IdempotentRequest.fingerprint, IdempotentRequest.answer).where(
            *_is(key, caller),
            IdempotentRequest.created_at >= func.now() - KEPT,
        )
        row = (await self._session.execute(query)).one_or_none()
        if row is None:
            return None
        if row.fingerprint != key.fingerprint:
            raise RequestIdReused(key.request_id)
        return cast("bytes", row.answer)

    async def claim(self, key: RequestKey, caller_id: UUID) -> bool:
        """Makes the request this transaction's own; False if it has been answered. Waits for a twin under way."""
        new = insert(IdempotentRequest).values(
            caller_id=caller_id, method=key.method, request_id=key.request_id, fingerprint=key.fingerprint
        )
        expired = IdempotentRequest.created_at < func.now() - KEPT
        claimed = await self._session.execute(
            new.on_conflict_do_update(
                index_elements=["caller_id", "method", "request_id"],
                set_={"fingerprint": key.fingerprint, "answer": None, "created_at": func.now()},
                where=expired,
            ).returning(IdempotentRequest.request_id)
        )
        return claimed.one_or_none() is not None

    async def keep(self, key: RequestKey, caller_id: UUID, answer: bytes) -> None:
        """Stores the answer to a claimed request."""
        await self._session.execute(update(IdempotentRequest).where(*_is(key, caller_id)).values(answer=answer))

    async def forget_expired(self, most: int) -> int:
        """Drops up to `most` answers that are older than 24 hours; returns how many."""
        key = (IdempotentRequest.caller_id, IdempotentRequest.method, IdempotentRequest.request_id)
        oldest = select(*key).where(IdempotentRequest.created_at < func.now() - KEPT).limit(most)
        dropped = await self._session.execute(delete(IdempotentRequest).where(tuple_(*key).in_(oldest)))
        return cast("CursorResult[None]", dropped).rowcount


def _is(key: RequestKey, caller_id: UUID | ScalarSelect[UUID]) -> tuple[ColumnElement[bool], ...]:
    return (
        IdempotentRequest.caller_id == caller_id,
        IdempotentRequest.method == key.method,
        IdempotentRequest.request_id == key.request_id,
    )
