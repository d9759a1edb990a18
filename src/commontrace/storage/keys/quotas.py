"""Quotas: use by users in fixed windows, counted for all servers of a database together (ADR 0029)."""

from datetime import timedelta
from typing import cast

from sqlalchemy import BigInteger, CursorResult, String, bindparam, delete, func, select, text, tuple_

from commontrace.domain.keys.quotas import WINDOWS, Lease, Window
from commontrace.storage.executor import Executor
from commontrace.storage.models import QuotaWindow
from commontrace.storage.stored_times import is_ahead

_RETENTION = timedelta(days=2)

_CURRENT_WINDOW = "this AS (SELECT date_trunc(:unit, now(), 'UTC') AS started_at)"
_SECONDS_LEFT = "extract(epoch FROM this.started_at + CAST('1 ' || :unit AS interval) - now())::float8"

# One atomic statement, so that two servers are never granted the same. The window is that of the database's clock. A
# server is granted what it needs now, and beyond that at most an eighth of the rest: what it leases and does not use,
# the other servers lack. Nothing is granted if the rest is less than needed.
_LEASE = text(
    f"""
    WITH {_CURRENT_WINDOW},
    lease AS (
        INSERT INTO quota_windows AS q (email, kind, started_at, used, granted)
        SELECT :email, :kind, started_at, first.size, first.size FROM this,
            LATERAL (SELECT GREATEST(:needed, LEAST(:wanted, :limit / 8)) AS size) AS first
        ON CONFLICT (email, kind) DO UPDATE SET
            started_at = excluded.started_at,
            used = CASE WHEN q.started_at = excluded.started_at
                THEN q.used + GREATEST(:needed, LEAST(:wanted, (:limit - q.used) / 8)) ELSE excluded.used END,
            granted = CASE WHEN q.started_at = excluded.started_at
                THEN GREATEST(:needed, LEAST(:wanted, (:limit - q.used) / 8)) ELSE excluded.granted END
        WHERE q.started_at < excluded.started_at OR {is_ahead("q.started_at")}
            OR (q.started_at = excluded.started_at AND q.used + :needed <= :limit)
        RETURNING granted
    )
    SELECT COALESCE((SELECT granted FROM lease), 0)::bigint AS granted,
        {_SECONDS_LEFT} AS seconds_left
    FROM this"""  # noqa: S608 - of constants
).bindparams(
    *(bindparam(name, type_=String) for name in ("email", "kind", "unit")),
    *(bindparam(name, type_=BigInteger) for name in ("needed", "wanted", "limit")),
)
_WINDOW = text(
    f"""
    WITH {_CURRENT_WINDOW}
    SELECT COALESCE(q.used, 0)::bigint AS used, {_SECONDS_LEFT} AS seconds_left
    FROM this LEFT JOIN quota_windows AS q ON q.email = :email AND q.kind = :kind AND q.started_at = this.started_at
    """  # noqa: S608 - of constants
).bindparams(*(bindparam(name, type_=String) for name in ("email", "kind", "unit")))


class QuotaRepository:
    """The latest window of every user and kind of quota.

    Each method is one statement, so that an autocommit connection is enough.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def lease(self, email: str, kind: str, *, needed: int, wanted: int, limit: int) -> Lease:
        """Leases up to `wanted` units of a quota of `limit` a window: at least `needed`, or none if less is left.

        `needed` must not exceed `limit`.
        """
        parameters = {**_of(email, kind), "needed": needed, "wanted": wanted, "limit": limit}
        row = (await self._executor.execute(_LEASE, parameters)).one()
        return Lease(granted=row.granted, seconds_left=row.seconds_left)

    async def get_window(self, email: str, kind: str) -> Window:
        """Returns the use in the current window."""
        row = (await self._executor.execute(_WINDOW, _of(email, kind))).one()
        return Window(used=row.used, seconds_left=row.seconds_left)

    async def delete_expired(self, limit: int) -> int:
        """Deletes up to `limit` windows that began more than two days ago; returns how many."""
        key = (QuotaWindow.email, QuotaWindow.kind)
        oldest = select(*key).where(QuotaWindow.started_at < func.now() - _RETENTION).limit(limit)
        result = await self._executor.execute(delete(QuotaWindow).where(tuple_(*key).in_(oldest)))
        return cast("CursorResult[None]", result).rowcount


def _of(email: str, kind: str) -> dict[str, object]:
    return {"email": email, "kind": kind, "unit": WINDOWS[kind]}
