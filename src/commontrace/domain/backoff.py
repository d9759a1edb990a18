"""How long to wait before something that failed is tried again."""

LONGEST_DELAY_SECONDS = 3600.0
"""A trace that cannot be encoded is tried again after so long at the latest. No lease of the queue is longer."""


def pause(attempt: int, *, least: float, most: float) -> float:
    """Returns the seconds behind an attempt, counted from 1: twice as long each time, within the bounds."""
    # Attempts may go on for days: a float does not hold every power of two.
    return float(min(least * 2.0 ** min(attempt - 1, 100), most))
