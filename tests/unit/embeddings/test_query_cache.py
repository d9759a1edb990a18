"""The query cache: bounded, one encoding for concurrent equal texts, cancellation of one caller harms no other."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from commontrace.embeddings.embedder import EmbedderUnavailable, Embedding
from commontrace.embeddings.lexical import LexicalEmbedder
from commontrace.embeddings.query_cache import QueryCache


class CountingEmbedder(LexicalEmbedder):
    """The lexical embedder with a list of its texts, a gate that holds it and a fault to raise."""

    def __init__(self) -> None:
        super().__init__(8)
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.on_fault: Callable[[], object] = lambda: None

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        self.asked.extend(texts)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.extend(texts)
            raise
        if self.fault:
            asyncio.get_running_loop().call_soon(self.on_fault)
            raise self.fault
        return await super().encode(texts)


@pytest.fixture
async def embedder() -> CountingEmbedder:
    return CountingEmbedder()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_text_is_encoded_once(embedder: CountingEmbedder) -> None:
    cache = QueryCache(embedder)

    first, second, other = [await cache.encode(text) for text in ("text", "text", "other")]

    assert embedder.asked == ["text", "other"]
    assert first is second
    assert first is not other
    assert (cache.hits, cache.misses) == (1, 2)
    assert first.tokens_total == 1
    assert np.array_equal(first.vector, embedder.embed("text").vector)


async def test_a_shared_vector_cannot_be_written(embedder: CountingEmbedder) -> None:
    embedding = await QueryCache(embedder).encode("text")

    with pytest.raises(ValueError, match="read-only"):
        embedding.vector[0] = 1
    with pytest.raises(ValueError, match=r"WRITEABLE|writeable"):
        embedding.vector[:].setflags(write=True)


async def test_the_least_recently_used_is_evicted(embedder: CountingEmbedder) -> None:
    cache = QueryCache(embedder, capacity=2)

    for text in ("a", "b", "a", "c", "a", "b"):
        await cache.encode(text)

    assert embedder.asked == ["a", "b", "c", "b"]
    assert len(cache) == 2


async def test_never_holds_more_than_its_capacity(embedder: CountingEmbedder) -> None:
    cache = QueryCache(embedder, capacity=10)

    await asyncio.gather(*(cache.encode(f"text {number % 50}") for number in range(500)))

    assert len(cache) == 10
    assert len(embedder.asked) == cache.misses == 50
    assert cache.hits == 450


@pytest.mark.parametrize("capacity", [0, -1])
async def test_a_cache_for_nothing_is_refused(embedder: CountingEmbedder, capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        QueryCache(embedder, capacity)


async def test_concurrent_equal_texts_share_one_encoding(embedder: CountingEmbedder) -> None:
    cache = QueryCache(embedder)
    embedder.gate.clear()
    callers = [asyncio.ensure_future(cache.encode("text")) for _ in range(20)]
    await settle()
    embedder.gate.set()

    answers = await asyncio.gather(*callers)

    assert embedder.asked == ["text"]
    assert all(answer is answers[0] for answer in answers)
    assert (cache.hits, cache.misses) == (19, 1)


@pytest.mark.parametrize("leaving", [0, 1, 2])
async def test_a_cancelled_caller_leaves_the_others_undisturbed(embedder: CountingEmbedder, leaving: int) -> None:
    cache = QueryCache(embedder)
    embedder.gate.clear()
    callers = [asyncio.ensure_future(cache.encode("text")) for _ in range(3)]
    await settle()

    callers[leaving].cancel()
    await settle()
    embedder.gate.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(answers.pop(leaving), asyncio.CancelledError)
    assert all(isinstance(answer, Embedding) for answer in answers)
    assert embedder.asked == ["text"]
    assert embedder.cancelled == []


async def test_an_encoding_nobody_waits_for_is_cancelled_and_can_be_asked_again(
    embedder: CountingEmbedder,
) -> None:
    cache = QueryCache(embedder)
    embedder.gate.clear()
    callers = [asyncio.ensure_future(cache.encode("text")) for _ in range(3)]
    await settle()

    for caller in callers:
        caller.cancel()
    # Asked again before the cancelled encoding has had its turn to end.
    await asyncio.sleep(0)
    again = asyncio.ensure_future(cache.encode("text"))
    await settle()
    embedder.gate.set()

    assert isinstance(await again, Embedding)
    assert all(caller.cancelled() for caller in callers)
    assert embedder.cancelled == ["text"]
    assert embedder.asked == ["text", "text"]


async def test_a_failure_reaches_all_who_wait_and_is_not_cached(embedder: CountingEmbedder) -> None:
    cache = QueryCache(embedder)
    embedder.fault = EmbedderUnavailable("away")

    failures = await asyncio.gather(*(cache.encode("text") for _ in range(3)), return_exceptions=True)
    embedder.fault = None
    answer = await cache.encode("text")
    assert [type(failure) for failure in failures] == [EmbedderUnavailable] * 3
    assert isinstance(answer, Embedding)
    assert embedder.asked == ["text", "text"]
    assert len(cache) == 1


async def test_a_failure_not_yet_raised_does_not_reach_later_callers(embedder: CountingEmbedder) -> None:
    cache = QueryCache(embedder)
    later: list[asyncio.Future[Embedding]] = []

    def ask_again() -> None:
        embedder.fault = None
        embedder.gate.clear()
        later.append(asyncio.ensure_future(cache.encode("text")))

    embedder.fault = EmbedderUnavailable("away")
    embedder.on_fault = ask_again
    with pytest.raises(EmbedderUnavailable):
        await cache.encode("text")
    later.append(asyncio.ensure_future(cache.encode("text")))
    await settle()
    embedder.gate.set()

    first, second = await asyncio.gather(*later)

    assert first is second
    assert embedder.asked == ["text", "text"]


async def test_texts_that_utf8_cannot_encode_are_distinguished(embedder: CountingEmbedder) -> None:
    cache = QueryCache(embedder)
    for text in ("\ud800", "\udfff"):
        await cache.encode(text)

    assert len(embedder.asked) == 2


async def test_nothing_of_the_text_is_kept(embedder: CountingEmbedder) -> None:
    cache = QueryCache(embedder)
    await cache.encode("a secret")

    assert "secret" not in repr(vars(cache))
