"""Retry policy of writes that concurrent changes outdate: bounded back-off with jitter (ADRs 0007, 0018)."""

from commontrace.backoff import backoff_seconds
from commontrace.domain.errors import CommonTraceError, ConcurrentChange, Overloaded

# A write that succeeded outdates each attempt: so many mean seconds of contention for the same rows.
MAX_ATTEMPTS = 20
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.01, 0.5


def pause_after(attempt: int, error: CommonTraceError) -> float:
    """Returns the pause before the next attempt, in seconds. Attempts count from 1.

    After the last attempt it raises the error, or Overloaded for a ConcurrentChange.
    """
    if attempt < MAX_ATTEMPTS:
        return backoff_seconds(attempt, first=_FIRST_PAUSE_SECONDS, longest=_LONGEST_PAUSE_SECONDS)
    if not isinstance(error, ConcurrentChange):
        raise error
    raise Overloaded(
        f"other writes changed what this one depends on {MAX_ATTEMPTS} times", retry_after=_LONGEST_PAUSE_SECONDS
    ) from error
