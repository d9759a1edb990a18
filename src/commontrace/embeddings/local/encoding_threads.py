"""Encoding threads: encode off the event loop, users in turn (round robin), short texts in batches (ADR 0042)."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from commontrace.embeddings.embedder import EmbedderUnavailable, Embedding
from commontrace.fair_sharing.round_robin import RoundRobin

_THREADS = 2
# The largest batch. Batching saves at most a third of the time, and adds the batch's time to each text's latency.
_CHARACTERS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, eq=False)
class _QueuedText:
    text: str
    answer: Future[Embedding] = field(default_factory=Future)


class EncodingThreads:
    """Two threads that call `encode`, at times both at once. `encode` returns one embedding a text, in order.

    `name` is the model's name in messages.
    """

    def __init__(self, encode: Callable[[Sequence[str]], list[Embedding]], *, name: str) -> None:
        self._encode = encode
        self._name = name
        self._waiting: RoundRobin[_QueuedText] = RoundRobin()
        self._queue = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="local-model")
        self._closed = False

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        """Encodes every text, two at a time, so that other callers' texts are encoded in between.

        Raises EmbedderUnavailable after `close`. A cancelled caller's texts that have not begun are dropped.
        """
        self._check_open()
        embeddings: dict[int, Embedding] = {}
        remaining = iter(enumerate(texts))

        async def encode_in_turn() -> None:
            for index, text in remaining:
                self._check_open()
                embeddings[index] = await self._encode_one(text)

        if len(texts) == 1:
            await encode_in_turn()
        else:
            lanes = [asyncio.ensure_future(encode_in_turn()) for _ in range(min(_THREADS, len(texts)))]
            try:
                await asyncio.gather(*lanes)
            finally:
                for lane in lanes:
                    lane.cancel()
        return [embeddings[index] for index in range(len(texts))]

    async def close(self) -> None:
        """Refuses texts that have not begun, waits for the others, ends the threads. Idempotent."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)

    def _check_open(self) -> None:
        if self._closed:
            raise EmbedderUnavailable(f"{self._name} has been closed")

    async def _encode_one(self, text: str) -> Embedding:
        waiting = _QueuedText(text)
        with self._queue:
            self._waiting.add(waiting)
        # One job a text. As each job takes several short texts, some find none left.
        self._threads.submit(self._encode_next_batch)
        return await asyncio.wrap_future(waiting.answer)

    def _encode_next_batch(self) -> None:
        taken = self._take_batch()
        if not taken:
            return
        try:
            self._check_open()
            embeddings = self._encode([waiting.text for waiting in taken])
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            for waiting in taken:
                waiting.answer.set_exception(error)
        else:
            for waiting, embedding in zip(taken, embeddings, strict=True):
                waiting.answer.set_result(embedding)

    def _take_batch(self) -> list[_QueuedText]:
        """Takes the next batch off the queue: several texts if they are short, else one; none if the queue is empty."""
        taken: list[_QueuedText] = []
        room = _CHARACTERS_AT_ONCE
        with self._queue:
            while self._waiting and (not taken or len(self._waiting.next.text) <= room):
                waiting = self._waiting.take()
                # The caller may have been cancelled.
                if waiting.answer.set_running_or_notify_cancel():
                    taken.append(waiting)
                    room -= len(waiting.text)
        return taken
