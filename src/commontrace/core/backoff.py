"""How long to wait before something that failed is tried again."""


def pause(attempt: int, *, least: float, most: float) -> float:
    """Returns the seconds behind an attempt, counted from 1: twice as long each time, within the bounds."""
    # Attempts may go on for days: a float does not hold every power of two.
    return float(min(least * 2.0 ** min(attempt - 1, 100), most))
