"""An embedder that stands for another one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from commontrace.embeddings.embedder import Embedder, Embedding


class WrappedEmbedder(ABC):
    """Is the other in everything but what happens around an encoding."""

    def __init__(self, embedder: Embedder) -> None:
        """Takes the other."""
        self.inner = embedder

    @abstractmethod
    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        """Returns what the other returns, and raises what it raises."""

    @property
    def model_id(self) -> str:
        """The other's."""
        return self.inner.model_id

    @property
    def model_version(self) -> str:
        """The other's."""
        return self.inner.model_version

    @property
    def dimensions(self) -> int:
        """The other's."""
        return self.inner.dimensions

    @property
    def is_lexical(self) -> bool:
        """The other's."""
        return self.inner.is_lexical

    async def close(self) -> None:
        """Closes the other."""
        await self.inner.close()
