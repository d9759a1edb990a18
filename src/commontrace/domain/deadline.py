"""Deadlines: the time by which the work for a caller must be done."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadline:
    """A time by the running event loop's clock, in seconds; None for no deadline."""

    at: float | None = None

    @property
    def has_passed(self) -> bool:
        """True if no time is left."""
        return self.at is not None and self.at <= asyncio.get_running_loop().time()

    def limit(self) -> asyncio.Timeout:
        """Returns a context manager that ends its block with TimeoutError. Raises it at once if no time is left.

        A generator must not yield inside the block.
        """
        # Statements that are cancelled at once would still cost their database connections.
        if self.has_passed:
            raise TimeoutError
        return asyncio.timeout_at(self.at)

    def leaving(self, *, share: float, most: float) -> "Deadline":
        """Returns an earlier deadline, which leaves `share` of the remaining time, at most `most` seconds."""
        if self.at is None:
            return self
        left = self.at - asyncio.get_running_loop().time()
        return Deadline(at=self.at - min(max(left, 0.0) * share, most))


NEVER = Deadline()
