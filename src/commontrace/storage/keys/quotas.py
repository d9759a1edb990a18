"""What users have used of their quotas, counted for all servers of a database together."""

from datetime import timedelta
from typing import cast

from sqlalchemy import BigInteger, CursorResult, String, bindparam, delete, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from commontrace.domain.keys.quotas import WINDOWS, Lease, Window
from commontrace.storage.models import QuotaWindow
from commontrace.storage.stored_times import is_ahead

_KEPT = timedelta(days=2)

_THIS = "this AS (SELECT date_trunc(:unit, now(), 'UTC') AS started_at)"
_SECONDS_LEFT = "extract(epoch FROM this.started_at + CAST('1 ' || :unit AS interval) - now())::float8"

# One statement, so that no two servers are granted the same; the window is one of the database, whatever the servers'
# clocks say. Beyond what is needed at once, never more than an eighth of what is left: what one server holds and
# does not use, the others lack. Nothing is granted where too little is left.
_LEASE = text(
    f"""
    WITH {_THIS},
    lease AS (
        INSERT INTO quota_windows AS q (email, kind, started_at, used, granted)
        SELECT :email, :kind, started_at, first.size, first.size FROM this,
            LATERAL (SELECT GREATEST(:needed, LEAST(:wanted, :most / 8)) AS size) AS first
        ON CONFLICT (email, kind) DO UPDATE SET
            started_at = excluded.started_at,
            used = CASE WHEN q.started_at = excluded.started_at
                THEN q.used + GREATEST(:needed, LEAST(:wanted, (:most - q.used) / 8)) ELSE excluded.used END,
            granted = CASE WHEN q.started_at = excluded.started_at
                THEN GREATEST(:needed, LEAST(:wanted, (:most - q.used) / 8)) ELSE excluded.granted END
        WHERE q.started_at < excluded.started_at OR {is_ahead("q.started_at")}
            OR (q.started_at = excluded.started_at AND q.used + :needed <= :most)
        RETURNING granted
    )
    SELECT COALESCE((SELECT granted FROM lease), 0)::bigint AS granted,
        {_SECONDS_LEFT} AS seconds_left
    FROM this"""  # noqa: S608 - of constants
).bindparams(
    *(bindparam(name, type_=String) for name in ("email", "kind", "unit")),
    *(bindparam(name, type_=BigInteger) for name in ("needed", "wanted", "most")),
)
_WINDOW = text(
    f"""
    WITH {_THIS}
    SELECT COALESCE(q.used, 0)::bigint AS used, {_SECONDS_LEFT} AS seconds_left
    FROM this LEFT JOIN quota_windows AS q ON q.email = :email AND q.kind = :kind AND q.started_at = this.started_at
    """  # noqa: S608 - of constants
).bindparams(*(bindparam(name, type_=String) for name in ("email", "kind", "unit")))


class QuotaRepository:
    """The latest window of every user."""

    def __init__(self, session: AsyncSession | AsyncConnection) -> None:
        """Takes where to ask."""
        self._session = session

    async def lease(self, email: str, kind: str, *, needed: int, wanted: int, most: int) -> Lease:
        """Takes `wanted` of a quota of `most` a window, or fewer: `needed` at least, or nothing if less is left.

        `needed` is never more than `most`.
        """
        asked = {**_of(email, kind), "needed": needed, "wanted": wanted, "most": most}
        row = (await self._session.execute(_LEASE, asked)).one()
        return Lease(granted=row.granted, seconds_left=row.seconds_left)

    async def window(self, email: str, kind: str) -> Window:
        """Returns how much is used."""
        row = (await self._session.execute(_WINDOW, _of(email, kind))).one()
        return Window(used=row.used, seconds_left=row.seconds_left)

    async def forget_expired(self, most: int) -> int:
        """Drops up to `most` windows that began more than two days ago; returns how many."""
        key = (QuotaWindow.email, QuotaWindow.kind)
        oldest = select(*key).where(QuotaWindow.started_at < func.now() - _KEPT).limit(most)
        dropped = await self._session.execute(delete(QuotaWindow).where(tuple_(*key).in_(oldest)))
        return cast("CursorResult[None]", dropped).rowcount


def _of(email: str, kind: str) -> dict[str, object]:
    return {"email": email, "kind": kind, "unit": WINDOWS[kind]}
