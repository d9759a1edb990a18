"""Writes that were asked for under an id, and their answers."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, LargeBinary, String, Uuid, bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.domain.errors import AnswerErased, RequestIdReused
from commontrace.storage.models import IdempotentRequest, User

KEPT = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestKey:
    """What a caller asked for. Requests with the same fields have the same fingerprint."""

    method: str
    request_id: UUID
    fingerprint: bytes


_EXPIRED = IdempotentRequest.created_at < func.now() - KEPT
_IS_THE_REQUEST = (
    IdempotentRequest.method == bindparam("of_method", type_=String),
    IdempotentRequest.request_id == bindparam("of_request_id", type_=Uuid),
)
# Made once: putting a statement together costs more than running it.
_ANSWER = (
    select(IdempotentRequest.fingerprint, IdempotentRequest.answer)
    .join(User, User.id == IdempotentRequest.caller_id)
    .where(User.email == bindparam("email", type_=String), *_IS_THE_REQUEST, ~_EXPIRED)
)
_NEW = insert(IdempotentRequest.__table__)
_CLAIM = _NEW.on_conflict_do_update(
    index_elements=["caller_id", "method", "request_id"],
    set_={"fingerprint": _NEW.excluded.fingerprint, "answer": None, "created_at": func.now()},
    where=_EXPIRED,
).returning(IdempotentRequest.request_id)
_KEEP = (
    update(IdempotentRequest.__table__)
    .where(IdempotentRequest.caller_id == bindparam("of_caller_id", type_=Uuid), *_IS_THE_REQUEST)
    .values(answer=bindparam("new_answer", type_=LargeBinary))
)


class IdempotencyRepository:
    """The answers of the last 24 hours."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask."""
        self._session = session

    async def answer_of(self, key: RequestKey, email: str) -> bytes | None:
        """Returns the stored answer, or None for a request that is new. Raises AnswerErased, RequestIdReused."""
        row = (await self._session.execute(_ANSWER, {"email": email, **_parameters(key)})).one_or_none()
        if row is None:
            return None
        if row.fingerprint != key.fingerprint:
            raise RequestIdReused(key.request_id)
        if row.answer is None:
            raise AnswerErased(key.request_id)
        return cast("bytes", row.answer)

    async def claim(self, key: RequestKey, caller_id: UUID) -> bool:
        """Makes the request this transaction's own; False if it has been answered. Waits for a twin under way."""
        new = {"caller_id": caller_id, **asdict(key)}
        claimed = await self._session.execute(_CLAIM, new)
        return claimed.one_or_none() is not None

    async def keep(self, key: RequestKey, caller_id: UUID, answer: bytes) -> None:
        """Stores the answer to a claimed request."""
        kept = {"of_caller_id": caller_id, "new_answer": answer, **_parameters(key)}
        await self._session.execute(_KEEP, kept)

    async def forget_expired(self, most: int) -> int:
        """Drops up to `most` answers that are older than 24 hours; returns how many."""
        key = (IdempotentRequest.caller_id, IdempotentRequest.method, IdempotentRequest.request_id)
        oldest = select(*key).where(_EXPIRED).limit(most)
        dropped = await self._session.execute(delete(IdempotentRequest).where(tuple_(*key).in_(oldest)))
        return cast("CursorResult[None]", dropped).rowcount


def _parameters(key: RequestKey) -> dict[str, Any]:
    return {"of_method": key.method, "of_request_id": key.request_id}
