"""What users have used of their quotas, counted for all servers of a database together."""

from datetime import timedelta
from typing import cast

from sqlalchemy import BigInteger, CursorResult, String, bindparam, delete, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.core.quotas import Lease
from commontrace.storage.models import QuotaWindow

_KEPT = timedelta(hours=1)

# One statement, so that no two servers are granted the same; the window is the database's minute, whatever the servers'
# clocks say. Beyond what is needed at once, never more than an eighth of what is left: what one server holds and
# does not use, the others lack. Nothing is granted where too little is left.
_LEASE = text("""
    WITH this AS (SELECT date_trunc('minute', now()) AS minute),
    lease AS (
        INSERT INTO quota_windows AS q (email, kind, started_at, used, granted)
        SELECT :email, :kind, minute, first.size, first.size FROM this,
            LATERAL (SELECT GREATEST(:needed, LEAST(:wanted, :most / 8)) AS size) AS first
        ON CONFLICT (email, kind) DO UPDATE SET
            started_at = excluded.started_at,
            used = CASE WHEN q.started_at < excluded.started_at THEN excluded.used
                ELSE q.used + GREATEST(:needed, LEAST(:wanted, (:most - q.used) / 8)) END,
            granted = CASE WHEN q.started_at < excluded.started_at THEN excluded.granted
                ELSE GREATEST(:needed, LEAST(:wanted, (:most - q.used) / 8)) END
        WHERE q.started_at < excluded.started_at
            OR (q.started_at = excluded.started_at AND q.used + :needed <= :most)
        RETURNING granted
    )
    SELECT COALESCE((SELECT granted FROM lease), 0)::bigint AS granted,
        extract(epoch FROM minute + interval '1 minute' - now())::float8 AS seconds_left
    FROM this""").bindparams(
    *(bindparam(name, type_=String) for name in ("email", "kind")),
    *(bindparam(name, type_=BigInteger) for name in ("needed", "wanted", "most")),
)


class QuotaRepository:
    """The latest window of every user."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask."""
        self._session = session

    async def lease(self, email: str, kind: str, *, needed: int, wanted: int, most: int) -> Lease:
        """Takes `wanted` of a quota of `most` a minute, or fewer: `needed` at least, or nothing if less is left."""
        asked = {"email": email, "kind": kind, "needed": needed, "wanted": wanted, "most": most}
        row = (await self._session.execute(_LEASE, asked)).one()
        return Lease(granted=row.granted, seconds_left=row.seconds_left)

    async def forget_expired(self, most: int) -> int:
        """Drops up to `most` windows that are older than an hour; returns how many."""
        key = (QuotaWindow.email, QuotaWindow.kind)
        oldest = select(*key).where(QuotaWindow.started_at < func.now() - _KEPT).limit(most)
        dropped = await self._session.execute(delete(QuotaWindow).where(tuple_(*key).in_(oldest)))
        return cast("CursorResult[None]", dropped).rowcount
