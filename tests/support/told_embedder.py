"""A real embedder that waits or fails when a test tells it to."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, Embedding


class ToldEmbedder:
    """Encodes as `model` does, unless `answer` says otherwise, and keeps what it was asked.

    `answer` gets the texts and returns None for what is encoded well, or vectors instead; it may raise. While `gate` is
    closed, nothing is encoded.
    """

    def __init__(self, model: Embedder) -> None:
        self._model = model
        self.answer: Callable[[Sequence[str]], list[Embedding] | None] = lambda _texts: None
        self.asked: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.waits = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        self.asked.append(list(texts))
        if not self.gate.is_set():
            self.waits.set()
            await self.gate.wait()
        return self.answer(texts) or await self._model.encode(texts)


def away(_texts: Sequence[str]) -> list[Embedding] | None:
    raise EmbedderUnavailable("the endpoint is away")


def refusing(word: str) -> Callable[[Sequence[str]], list[Embedding] | None]:
    """Fails at every request that has a text with this word."""

    def answer(texts: Sequence[str]) -> None:
        if any(word in text for text in texts):
            raise ValueError(f"cannot encode {texts}")

    return answer
