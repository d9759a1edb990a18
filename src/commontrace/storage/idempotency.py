"""Idempotency keys: requests with a `request_id` and their stored answers (ADR 0007)."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import ARRAY, CursorResult, LargeBinary, String, Uuid, bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from commontrace.domain.errors import AnswerErased, RequestIdReused
from commontrace.storage.driver_statement import DriverStatement
from commontrace.storage.executor import Executor
from commontrace.storage.models import IdempotentRequest, User
from commontrace.storage.transaction import Transaction

RETENTION = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestKey:
    """A request of a caller. `fingerprint` is equal for requests with the same fields."""

    method: str
    request_id: UUID
    fingerprint: bytes


class StoredAnswer(NamedTuple):
    """The answer to a request, and the namespaces of what it shows."""

    message: bytes
    namespace_ids: Collection[UUID]


_EXPIRED = IdempotentRequest.created_at < func.now() - RETENTION
_IS_THE_REQUEST = (
    IdempotentRequest.method == bindparam("of_method", type_=String),
    IdempotentRequest.request_id == bindparam("of_request_id", type_=Uuid),
)
# Built once: building a statement costs more than running it.
_ANSWER = (
    select(IdempotentRequest.fingerprint, IdempotentRequest.answer, IdempotentRequest.namespace_ids)
    .join(User, User.id == IdempotentRequest.caller_id)
    .where(User.email == bindparam("email", type_=String), *_IS_THE_REQUEST, ~_EXPIRED)
)
_NEW = insert(IdempotentRequest.__table__).values(
    {name: bindparam(name) for name in ("caller_id", "method", "request_id", "fingerprint")}
)
_RESERVE = DriverStatement(
    _NEW.on_conflict_do_update(
        index_elements=["caller_id", "method", "request_id"],
        set_={"fingerprint": _NEW.excluded.fingerprint, "answer": None, "created_at": func.now(), "namespace_ids": []},
        where=_EXPIRED,
    ).returning(IdempotentRequest.request_id)
)
_SAVE_ANSWER = DriverStatement(
    update(IdempotentRequest.__table__)
    .where(IdempotentRequest.caller_id == bindparam("of_caller_id", type_=Uuid), *_IS_THE_REQUEST)
    .values(
        answer=bindparam("new_answer", type_=LargeBinary),
        namespace_ids=bindparam("new_namespace_ids", type_=ARRAY(Uuid)),
    )
)


class IdempotencyReader:
    """Read side of the answers of the last 24 hours."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def get_answer(self, key: RequestKey, email: str) -> StoredAnswer | None:
        """Returns the stored answer, or None for a new request. Raises AnswerErased, RequestIdReused."""
        row = (await self._executor.execute(_ANSWER, {"email": email, **_parameters(key)})).one_or_none()
        if row is None:
            return None
        if row.fingerprint != key.fingerprint:
            raise RequestIdReused(key.request_id)
        if row.answer is None:
            raise AnswerErased(key.request_id)
        return StoredAnswer(row.answer, row.namespace_ids)


class IdempotencyRepository(IdempotencyReader):
    """Idempotency keys in one unit of work."""

    _executor: Transaction

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(transaction)

    async def reserve(self, key: RequestKey, caller_id: UUID) -> bool:
        """Reserves the key; returns False if it has an answer. Waits for another transaction that has reserved it."""
        new = {"caller_id": caller_id, **asdict(key)}
        return bool(await self._executor.fetch(_RESERVE, new))

    async def save_answer(self, key: RequestKey, caller_id: UUID, answer: StoredAnswer) -> None:
        """Stores the answer to the request of a reserved key."""
        parameters = {
            "of_caller_id": caller_id,
            "new_answer": answer.message,
            "new_namespace_ids": sorted(answer.namespace_ids),
            **_parameters(key),
        }
        await self._executor.fetch(_SAVE_ANSWER, parameters)

    async def delete_expired(self, limit: int) -> int:
        """Deletes up to `limit` answers that are older than 24 hours; returns how many."""
        key = (IdempotentRequest.caller_id, IdempotentRequest.method, IdempotentRequest.request_id)
        oldest = select(*key).where(_EXPIRED).limit(limit)
        result = await self._executor.execute(delete(IdempotentRequest).where(tuple_(*key).in_(oldest)))
        return cast("CursorResult[None]", result).rowcount


def _parameters(key: RequestKey) -> dict[str, Any]:
    return {"of_method": key.method, "of_request_id": key.request_id}
