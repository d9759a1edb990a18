"""Input and output of a scenario: a trial, and one object of `faults.json` for each figure."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Parameters of a run: `scale` 1.0 is all of it, a short cut is less; `place` is a directory of its own.

    With `protected` False, the service's protection is off, so that the figure shows that it would find the damage.
    """

    seed: int
    place: Path
    scale: float = 1.0
    protected: bool = True
    cgroup: Path | None = None
    """Where servers, and their Postgres, are to run: the directory of a control group."""

    def times(self, full: int, *, least: int = 1) -> int:
        """Returns how often to do what is done `full` times at scale 1."""
        return max(least, round(full * self.scale))


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """Promised target and measured value."""

    name: str
    target: str
    measured: str
    ok: bool
