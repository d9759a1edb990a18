"""Base class of embedders that wrap another one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from commontrace.embeddings.embedder import Embedder, Embedding


class WrappedEmbedder(ABC):
    """An embedder with the properties of its inner one, whose encodings a subclass surrounds."""

    def __init__(self, embedder: Embedder) -> None:
        self.inner = embedder

    @abstractmethod
    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        """Returns and raises what the inner embedder does."""

    @property
    def model_id(self) -> str:
        """That of the inner embedder."""
        return self.inner.model_id

    @property
    def model_version(self) -> str:
        """That of the inner embedder."""
        return self.inner.model_version

    @property
    def dimensions(self) -> int:
        """That of the inner embedder."""
        return self.inner.dimensions

    @property
    def is_lexical(self) -> bool:
        """That of the inner embedder."""
        return self.inner.is_lexical

    async def close(self) -> None:
        """Closes the inner embedder."""
        await self.inner.close()
