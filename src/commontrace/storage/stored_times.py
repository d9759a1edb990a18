"""Stored times: their time zone, and those in the future after the database's clock was ahead (ADR 0039).

A future time counts as now, and no row is changed because of it: while a clock is behind, every stored time is in the
future. An expiry that a fast clock set comes later by as much as the clock was ahead, and no call waits for it.
"""

from datetime import UTC, datetime


def in_utc(moment: datetime) -> datetime:
    """Returns a stored time with its zone, which is UTC if the driver gives none.

    The driver gives none for `-infinity`, which it returns as the first moment that Python can hold.
    """
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_ahead(column: str, allowed: str = "") -> str:
    """Returns an SQL condition: the time lies further in the future than a correct clock can have put it.

    The bound is `allowed` from now (SQL of an interval, such as the longest lease), and a minute more, because now() is
    the start of the transaction and other transactions may have begun later.
    """
    return f"{column} > now() + interval '1 minute'" + (f" + {allowed}" if allowed else "")
