"""Searches through gRPC over one channel, in a process of its own.

Requests are serialised before; the Python client, which costs a processor more, is measured by a name of its own.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import grpc.aio
import numpy as np
import uvloop

from bench import orders
from bench.closed_loop import Ask, WrongAnswer
from bench.corpus import TAGS_A_TRACE, TEXT_CHARACTERS, question, ten_words
from bench.narrowing import NARROWINGS, Narrowing
from bench.parameters import LIMIT
from commontrace.client import TraceFilter, connect, vector
from commontrace.v1.trace_service_pb2 import SearchHit, SearchTracesRequest, SearchTracesResponse
from commontrace.v1.vector_pb2 import Vector

METHOD = "/commontrace.v1.TraceService/SearchTraces"
LIBRARY, VECTORS_OF_TEXTS = "embedding, Python client", "vectors of texts"
EMBEDDING, CACHED_TEXT, NEW_TEXT = "embedding", "text, cached", "text, new"
NEW_TEN_WORDS = "text of ten words, new"

STREAM_LIMITS = (100, 1_000)
"""Hits of the searches that are streamed in batches."""

_DEADLINE = 30.0


def among(narrowing: Narrowing | None) -> str:
    """Returns the search by a vector among the traces of a part, or among all for None."""
    return EMBEDDING if narrowing is None else f"{EMBEDDING}, {narrowing.name}"


def streamed(limit: int) -> str:
    """Returns the search by a vector that streams so many hits."""
    return f"{EMBEDDING}, limit {limit}"


async def main(task: orders.Task) -> None:
    """Carries out orders to search by vector, by texts asked before and by new ones, and under filters."""
    kinds = {
        kind: [vector(query, model_id=task.model_id) for query in queries]
        for kind, queries in np.load(task.vectors).items()
    }
    vectors, texts_vectors = kinds["embedding"], kinds["text"]
    async with connect(task.address) as client, grpc.aio.insecure_channel(task.address) as channel:
        send = channel.unary_stream(
            METHOD,
            request_serializer=bytes,
            response_deserializer=SearchTracesResponse.FromString,
        )

        async def hits_of(request: bytes) -> list[SearchHit]:
            return [hit async for response in send(request, timeout=_DEADLINE) for hit in response.hits]

        async def serialised(requests: Sequence[bytes], due: int, number: int) -> None:
            _look_at(await hits_of(requests[number % len(requests)]), due=due)

        def embeddings(
            trace_filter: TraceFilter | None = None, *, of: Sequence[Vector] = vectors, limit: int = LIMIT
        ) -> Sequence[bytes]:
            return [
                SearchTracesRequest(embedding=one, limit=limit, filter=trace_filter).SerializeToString() for one in of
            ]

        async def in_batches(requests: Sequence[bytes], due: int, number: int) -> float | None:
            first, count = None, 0
            async for response in send(requests[number % len(requests)], timeout=_DEADLINE):
                first = first or time.perf_counter()
                count += len(response.hits)
            if count != due:
                raise WrongAnswer(f"{count} hits instead of {due}")
            return first

        async def by_library(number: int) -> None:
            _look_at(await client.search(vectors[number % len(vectors)], limit=LIMIT, ranking="cosine"))

        async def by_text_asked_before(number: int) -> None:
            _look_at(await hits_of(texts[number % task.texts]))

        async def by_new_text(text: Callable[[int], str], number: int) -> None:
            request = SearchTracesRequest(text=text(task.texts + number), limit=LIMIT)
            _look_at(await hits_of(request.SerializeToString()))

        texts = [
            SearchTracesRequest(text=question(number), limit=LIMIT).SerializeToString() for number in range(task.texts)
        ]
        asks: dict[str, Ask] = {
            EMBEDDING: partial(serialised, embeddings(), LIMIT),
            LIBRARY: by_library,
            VECTORS_OF_TEXTS: partial(serialised, embeddings(of=texts_vectors), LIMIT),
            CACHED_TEXT: by_text_asked_before,
            NEW_TEXT: partial(by_new_text, question),
            NEW_TEN_WORDS: partial(by_new_text, ten_words),
        }
        for narrowing in NARROWINGS:
            due = min(LIMIT, task.matches[narrowing.name])
            asks[among(narrowing)] = partial(serialised, embeddings(narrowing.trace_filter()), due)
        for limit in STREAM_LIMITS:
            asks[streamed(limit)] = partial(in_batches, embeddings(limit=limit), min(limit, task.traces))
        for number in range(task.texts):
            await by_text_asked_before(number)
        await orders.obey(asks)


def _look_at(hits: Sequence[SearchHit], *, due: int = LIMIT) -> None:
    if len(hits) != due:
        raise WrongAnswer(f"{len(hits)} hits instead of {due}")
    for hit in hits:
        if len(hit.trace.context) + len(hit.trace.solution) != 2 * TEXT_CHARACTERS:
            raise WrongAnswer("a text is not whole")
        if len(hit.trace.tags) != TAGS_A_TRACE:
            raise WrongAnswer(f"{len(hit.trace.tags)} tags instead of {TAGS_A_TRACE}")


if __name__ == "__main__":
    uvloop.run(main(orders.task()))
