"""Query cache: the vectors of recent texts, since many agents ask the same question at once."""

import dataclasses
import hashlib
from functools import partial

import numpy as np

from commontrace.embeddings.embedder import Embedder, Embedding
from commontrace.fair_sharing.slot_release import slot_released
from commontrace.single_flight_cache import SingleFlightCache


class QueryCache:
    """The `capacity` most recently used embeddings of one embedder, keyed by a digest of their text.

    Belongs to one event loop. `misses` counts the calls that began an encoding, `hits` all others: those answered from
    the cache and those that joined an encoding in progress. Raises ValueError if capacity < 1.
    """

    def __init__(self, embedder: Embedder, capacity: int = 4096) -> None:
        self.embedder = embedder
        # Work that nobody waits for would occupy the encoder, the scarcest resource under load.
        self._embeddings: SingleFlightCache[bytes, Embedding] = SingleFlightCache(capacity, cancels_abandoned=True)
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._embeddings)

    async def encode(self, text: str) -> Embedding:
        """Encodes one text, once for all who ask at the same time; vector and tokens are read-only and shared.

        Raises what the embedder raises, to everyone waiting; a failure is not cached. A caller that is cancelled
        leaves the others undisturbed; when the last one has left, the encoding is cancelled.
        """
        key = hashlib.blake2b(text.encode("utf-8", errors="surrogatepass"), digest_size=32).digest()
        cached = self._embeddings.get(key)
        if cached is not None:
            self.hits += 1
            return cached
        if self._embeddings.is_loading(key):
            self.hits += 1
        else:
            self.misses += 1
        async with slot_released():
            return await self._embeddings.load(key, partial(self._encode, text))

    async def _encode(self, text: str) -> Embedding:
        [embedding] = await self.embedder.encode([text])
        vector = np.array(embedding.vector)
        vector.setflags(write=False)
        signs = embedding.token_signs
        return dataclasses.replace(embedding, vector=vector, token_signs=signs and signs.of_query())
