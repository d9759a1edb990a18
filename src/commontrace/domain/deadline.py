"""When the work for one caller must be over."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadline:
    """A time by the running event loop's clock; None never comes."""

    at: float | None = None

    @property
    def has_passed(self) -> bool:
        """Whether there is no time left."""
        return self.at is not None and self.at <= asyncio.get_running_loop().time()

    def limit(self) -> asyncio.Timeout:
        """Returns what ends an `async with` block with TimeoutError. Raises it itself where it is too late to begin.

        Nothing may be yielded inside the block.
        """
        # Work that is cancelled at once would still cost a database connection.
        if self.has_passed:
            raise TimeoutError
        return asyncio.timeout_at(self.at)

    def leaving(self, *, share: float, most: float) -> "Deadline":
        """Returns an earlier one, which leaves this share of the time that is left, `most` seconds at most."""
        if self.at is None:
            return self
        left = self.at - asyncio.get_running_loop().time()
        return Deadline(at=self.at - min(max(left, 0.0) * share, most))


NEVER = Deadline()
