"""Exponential back-off with jitter: pauses between attempts at something that keeps failing.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (there: equal jitter).
"""

import random

# Attempts may go on for days, and no float holds every power of two.
_MOST_DOUBLINGS = 100


def backoff_seconds(attempt: int, *, first: float, longest: float) -> float:
    """Returns the seconds to wait after the given attempt, counted from 1.

    The upper bound is `first` seconds, doubles with each attempt and stops at `longest`. The pause is drawn at random
    from its upper half (equal jitter): clients that lost a server together do not come back in step, and none at once.
    """
    bound = min(first * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS), longest)
    return random.uniform(bound / 2, bound)  # noqa: S311 - spreads load, keeps no secret
