"""Quotas: their kinds, windows and leases (ADR 0029)."""

from dataclasses import dataclass

READS, WRITES, TAG_NAMES = "reads", "writes", "tag_names"

WINDOWS = {READS: "minute", WRITES: "minute", TAG_NAMES: "day"}
"""The window of each kind of quota; days are those of UTC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """Units granted, 0 if less is left than needed, and the seconds until the window ends."""

    granted: int
    seconds_left: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Units of a quota that are used, and the seconds until the window ends."""

    used: int
    seconds_left: float
