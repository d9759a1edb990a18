"""The lexical embedder: similarity by shared words, and vectors that never change."""

import asyncio
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.lexical import LexicalEmbedder, stem

GOLDEN_TEXT = "Connection pool exhausted: QueuePool limit of size 5 reached in fast_api"


def similarity(one: str, other: str) -> float:
    embedder = LexicalEmbedder(1024)
    return float(embedder.embed(one).vector @ embedder.embed(other).vector)


async def test_describes_itself() -> None:
    embedder: Embedder = LexicalEmbedder(384)

    assert embedder.model_id == "lexical-hash"
    assert embedder.model_version == "1"
    assert embedder.dimensions == 384
    assert embedder.is_lexical


@pytest.mark.parametrize("dimensions", [-1, 0, 2001])
def test_dimensions_beyond_what_an_index_takes_are_refused(dimensions: int) -> None:
    with pytest.raises(ValueError, match="1 to 2000"):
        LexicalEmbedder(dimensions)


@pytest.mark.parametrize(
    ("query", "nearest", "farther"),
    [
        ("pool exhausted", "The connection pool was exhausted", "Centre a div with CSS"),
        ("caching responses", "Cache a response in Redis", "Sign a token with a key"),
        ("expire on commit", "expire_on_commit=False", "pool_pre_ping=True"),
        ("TypeScript", "a typescript component", "a Python script"),
        ("asyncpg.exceptions.TooManyConnectionsError", "too many connections", "unknown column"),
        ("C++ template", "templates in C++", "templates in C#"),
        ("authentification", "authentication", "serialisation"),
    ],
)
def test_shared_words_and_parts_of_words_are_near(query: str, nearest: str, farther: str) -> None:
    assert similarity(query, nearest) > similarity(query, farther) + 0.1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Connection POOL", "connection pool"),
        ("fast_api", "FastAPI"),
        ("the caches are running", "the cache are runs"),
        ("re\u0301sume\u0301", "résumé"),
        ("STRASSE", "straße"),
    ],
)
def test_spellings_of_the_same_words_are_close(one: str, other: str) -> None:
    assert similarity(one, other) > 0.7


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cache caches cached caching", "cach"),
        ("query queries", "quer"),
        ("migrate migrates migrated migrating migration migrations", "migr"),
        ("run running runs", "run"),
        ("call calls called calling", "call"),
        ("process", "process"),
        ("status", "status"),
        ("ring", "ring"),
        ("sha256s", "sha256s"),
    ],
)
def test_one_stem_for_the_forms_of_a_word(words: str, expected: str) -> None:
    assert {stem(word) for word in words.split()} == {expected}


def test_a_repeated_word_counts_less_each_time() -> None:
    once = similarity("alpha beta", "alpha")
    often = similarity("alpha " * 100 + "beta", "alpha")

    assert once < often < 0.99


@pytest.mark.parametrize("text", ["", " \n\t", "!?!… --> {}", "\x00\x1b"])
def test_a_text_without_words_is_the_first_axis(text: str) -> None:
    embedding = LexicalEmbedder(7).embed(text)

    assert embedding.vector.tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert (embedding.tokens_read, embedding.tokens_total) == (0, 0)


def test_reads_every_word() -> None:
    embedding = LexicalEmbedder(16).embed("one two, some_identifier " * 1000)

    assert (embedding.tokens_read, embedding.tokens_total) == (3000, 3000)


@given(text=st.text(st.characters(exclude_categories=()), max_size=300), dimensions=st.integers(1, 2000))
@example(text="\ud800 lone \udfff", dimensions=384)
@example(text="_" * 300, dimensions=3)
@example(text="x" * 1_000_000, dimensions=384)
@example(text="one two three four", dimensions=1)
@settings(deadline=None, max_examples=100)
async def test_any_text_becomes_a_finite_unit_vector(text: str, dimensions: int) -> None:
    [embedding] = await LexicalEmbedder(dimensions).encode([text])

    assert embedding.vector.shape == (dimensions,)
    assert embedding.vector.dtype == np.float32
    assert np.isfinite(embedding.vector).all()
    assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-6)


def test_the_vectors_of_version_1_never_change() -> None:
    golden = [
        *(-0.170717, 0.099096, -0.059458, -0.051802, 0.039638, -0.277469),
        *(-0.384221, -0.277469, -0.416203, 0.039638, 0.150897, 0.673852),
    ]

    np.testing.assert_allclose(LexicalEmbedder(12).embed(GOLDEN_TEXT).vector, golden, atol=2e-6)


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_another_process_computes_the_same_bits(seed: str) -> None:
    program = (
        "import sys; from commontrace.embeddings.lexical import LexicalEmbedder\n"
        "sys.stdout.buffer.write(LexicalEmbedder(384).embed(sys.argv[1]).vector.tobytes())"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, GOLDEN_TEXT],
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
    )

    assert done.stdout == LexicalEmbedder(384).embed(GOLDEN_TEXT).vector.tobytes()


async def test_answers_in_the_order_asked() -> None:
    embedder = LexicalEmbedder(64)
    texts = ["one", "two " * 1000, "", "three"]

    together = await embedder.encode(texts)

    assert [e.vector.tobytes() for e in together] == [embedder.embed(t).vector.tobytes() for t in texts]
    assert await embedder.encode([]) == []
    await embedder.close()


async def test_the_event_loop_runs_on_while_a_long_text_is_encoded() -> None:
    text = " ".join(f"word{number}" for number in range(20_000))
    encoding = asyncio.ensure_future(LexicalEmbedder(384).encode([text]))

    ticks = 0
    while not encoding.done():
        await asyncio.sleep(0.001)
        ticks += 1

    assert ticks >= 10
