"""What quotas count, and what a server learns of them."""

from dataclasses import dataclass

READS, WRITES, TAG_NAMES = "reads", "writes", "tag_names"

WINDOWS = {READS: "minute", WRITES: "minute", TAG_NAMES: "day"}
"""What each quota is for; a day is one of UTC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """How much was granted, 0 if less is left than was needed, and for how long: until the minute ends."""

    granted: int
    seconds_left: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """How much of a quota is used, and for how long it counts."""

    used: int
    seconds_left: float
