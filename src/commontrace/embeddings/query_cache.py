"""Remembers the vectors of recent texts: the same question is often asked again, by many agents at once."""

import asyncio
import dataclasses
import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.sharing.elsewhere import elsewhere


@dataclass(slots=True)
class _Flight:
    encoding: asyncio.Task[Embedding]
    waiting: int = 0


class QueryCache:
    """The `capacity` most recently used embeddings of one embedder, keyed by a digest of their text.

    Belongs to one event loop. `misses` counts the calls that began an encoding, `hits` all others: those
    answered from memory and those that joined an encoding under way. Raises ValueError if capacity < 1.
    """

    def __init__(self, embedder: Embedder, capacity: int = 4096) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self.embedder = embedder
        self._capacity = capacity
        self._remembered: OrderedDict[bytes, Embedding] = OrderedDict()
        self._flights: dict[bytes, _Flight] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._remembered)

    async def encode(self, text: str) -> Embedding:
        """Encodes one text, once for all who ask at the same time; the vector is read-only and shared.

        Raises what the embedder raises, to everyone waiting; a failure is not remembered. A caller that is
        cancelled leaves the others undisturbed; when the last one has left, the encoding is cancelled.
        """
        key = hashlib.blake2b(text.encode("utf-8", errors="surrogatepass"), digest_size=32).digest()
        remembered = self._remembered.get(key)
        if remembered is not None:
            self.hits += 1
            self._remembered.move_to_end(key)
            return remembered
        flight = self._flights.get(key)
        if flight is None or flight.encoding.done():
            self.misses += 1
            flight = _Flight(asyncio.create_task(self._encode(key, text)))
            self._flights[key] = flight
        else:
            self.hits += 1
        flight.waiting += 1
        try:
            async with elsewhere():
                return await asyncio.shield(flight.encoding)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                # Work nobody waits for would still occupy the encoder, the scarcest part under load.
                flight.encoding.cancel()
                if self._flights.get(key) is flight:
                    del self._flights[key]

    async def _encode(self, key: bytes, text: str) -> Embedding:
        [embedding] = await self.embedder.encode([text])
        vector = np.array(embedding.vector)
        vector.setflags(write=False)
        shared = dataclasses.replace(embedding, vector=vector)
        self._remembered[key] = shared
        if len(self._remembered) > self._capacity:
            self._remembered.popitem(last=False)
        return shared
