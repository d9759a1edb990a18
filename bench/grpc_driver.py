"""Searches through gRPC: the Python client over one channel, in a process of its own."""

from functools import partial

import numpy as np
import uvloop

from bench import orders
from bench.closed_loop import Ask, WrongAnswer
from bench.corpus import TAGS_A_TRACE, TEXT_CHARACTERS, question
from bench.parameters import LIMIT
from commontrace.client import SearchHits, TraceFilter, connect, vector

EMBEDDING, CACHED_TEXT, NEW_TEXT = "embedding", "text, cached", "text, new"


def among(agent_model: str | None) -> str:
    """Returns the search by a vector among the traces of an agent model, or among all for None."""
    return EMBEDDING if agent_model is None else f"{EMBEDDING}, among {agent_model}"


async def main(task: orders.Task) -> None:
    """Carries out orders to search by vector, by texts asked before and by new ones, and under filters."""
    vectors = [vector(query, model_id=task.model_id) for query in np.load(task.vectors)["embedding"]]
    async with connect(task.address) as client:

        async def by_vector(number: int) -> None:
            _look_at(await client.search(vectors[number % len(vectors)], limit=LIMIT))

        async def by_text_asked_before(number: int) -> None:
            _look_at(await client.search(question(number % task.texts), limit=LIMIT))

        async def by_new_text(number: int) -> None:
            _look_at(await client.search(question(task.texts + number), limit=LIMIT))

        async def filtered(considered: TraceFilter, due: int, number: int) -> None:
            _look_at(await client.search(vectors[number % len(vectors)], limit=LIMIT, filter=considered), due=due)

        asks: dict[str, Ask] = {EMBEDDING: by_vector, CACHED_TEXT: by_text_asked_before, NEW_TEXT: by_new_text}
        for agent_model, matches in task.matches.items():
            considered = TraceFilter(agent_models=[agent_model])
            asks[among(agent_model)] = partial(filtered, considered, min(LIMIT, matches))
        for number in range(task.texts):
            await by_text_asked_before(number)
        await orders.obey(asks)


def _look_at(hits: SearchHits, *, due: int = LIMIT) -> None:
    if len(hits) != due:
        raise WrongAnswer(f"{len(hits)} hits instead of {due}")
    for hit in hits:
        if len(hit.trace.context) + len(hit.trace.solution) != 2 * TEXT_CHARACTERS:
            raise WrongAnswer("a text is not whole")
        if len(hit.trace.tags) != TAGS_A_TRACE:
            raise WrongAnswer(f"{len(hit.trace.tags)} tags instead of {TAGS_A_TRACE}")


if __name__ == "__main__":
    uvloop.run(main(orders.task()))
