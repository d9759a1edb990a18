"""New texts as users without a server would ask them: encoded in this process, then searched for by raw asyncpg.

The same weights on onnxruntime in single precision, a thread a caller; tokens of late interaction are not kept.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest.mock import patch

import numpy as np
import uvloop

from bench import orders, raw_driver
from bench.corpus import question, ten_words
from bench.grpc_driver import NEW_TEN_WORDS, NEW_TEXT
from bench.parameters import MOST_CALLERS
from commontrace.embeddings.embedder import Vector
from commontrace.embeddings.local import bert
from commontrace.embeddings.local.model import find_model_directory
from commontrace.embeddings.local.model_directory import read_model_directory
from commontrace.embeddings.local.onnx_graph import Array, Graph
from commontrace.embeddings.local.text_tokenizer import TextTokenizer, load_tokenizer
from commontrace.embeddings.local.weights import read_weights

TEXTS: dict[str, Callable[[int], str]] = {NEW_TEXT: question, NEW_TEN_WORDS: ten_words}
"""The searches by new texts, and the text of each number."""


class _SinglePrecision(Graph):
    """The encoder's graph as the checkpoint has it, without rounding."""

    def int8_product(self, values: str, weight: Array, bias: Array) -> str:
        """Adds values @ weight.T + bias in single precision."""
        product = self.node("MatMul", values, self.tensor(np.ascontiguousarray(weight.T)))
        return self.node("Add", product, self.tensor(bias))


def encoder() -> Callable[[str], Vector]:
    """Returns the encoder of one text, which any number of threads may call."""
    directory = find_model_directory()
    assert directory is not None, "the model package is not installed: run `make bench`"
    files = read_model_directory(directory)
    with patch.object(bert, "Graph", _SinglePrecision):
        model = bert.Bert(read_weights(files.weights), files.architecture)
    tokenizer = load_tokenizer(files.tokenizer, vocabulary=model.vocabulary)
    texts = TextTokenizer(tokenizer, files, name=directory.name)

    def encode(text: str) -> Vector:
        [vectors] = model.encode(list(texts.framed(texts.tokenize(text))))
        return model.pool(vectors)

    return encode


async def main(task: orders.Task) -> None:
    """Carries out orders to search by new texts, in every form of the raw statements."""
    encode, loop = encoder(), asyncio.get_running_loop()
    with ThreadPoolExecutor(MOST_CALLERS) as threads:
        async with raw_driver.searching(task) as search:

            async def ask(form: str, text: Callable[[int], str], number: int) -> None:
                vector = await loop.run_in_executor(threads, encode, text(task.texts + number))
                raw_driver.look_at(await search(form, vector))

            await orders.obey(
                {
                    raw_driver.order(form, name): partial(ask, form, text)
                    for form in raw_driver.FORMS
                    for name, text in TEXTS.items()
                }
            )


if __name__ == "__main__":
    uvloop.run(main(orders.task()))
