"""Stored times that lie in the future, as the database's clock leaves them when it was ahead and came back.

Such a time counts as now, and nothing is changed because of it: while a clock is behind, every stored time is in the
future. What was to end by a clock that was ahead ends later by as much, and nobody is kept waiting (ADR 0039).
"""


def is_ahead(column: str, allowed: str = "") -> str:
    """Returns SQL that is true for a time beyond all that a right clock leaves in the column.

    That is `allowed` (SQL of an interval, such as the longest lease) from now on, and a minute more: who began a
    transaction earlier, looks at the times of others from there.
    """
    return f"{column} > now() + interval '1 minute'" + (f" + {allowed}" if allowed else "")
