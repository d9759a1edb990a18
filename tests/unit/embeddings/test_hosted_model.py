"""The hosted model against a real HTTP server: its requests, and its handling of good and bad answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, ModelNotUsable
from commontrace.embeddings.hosted.endpoint import Endpoint
from commontrace.embeddings.hosted.model import HostedModel
from commontrace.embeddings.lexical import LexicalEmbedder
from tests.support.embedding_server import (
    KEY,
    MODEL,
    OWN_DIMENSIONS,
    Answering,
    EmbeddingServer,
    answer_of,
    dying,
    failing,
    in_floats,
    late,
    reading,
    slowly,
    vectors,
    well,
)

OPENAI = "This model's maximum context length is {limit} tokens, however you requested {given} tokens."
TEI = "Input validation error: `inputs` must have less than {limit} tokens. Given: {given}"


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as server:
        yield server


@pytest.fixture
async def model(server: EmbeddingServer) -> AsyncIterator[HostedModel]:
    model = hosted(server, known=OWN_DIMENSIONS)
    yield model
    await model.close()


def hosted(
    server: EmbeddingServer,
    *,
    key: str = KEY,
    name: str = MODEL,
    asked: int | None = None,
    known: int | None = None,
    seconds: float = 10.0,
) -> HostedModel:
    endpoint = Endpoint(base_url=server.url, api_key=key, model=name, dimensions=asked, timeout=seconds)
    return HostedModel(endpoint, dimensions=known)


def answering(content: Any) -> Answering:
    return lambda handler: handler.send_json(content)


def without_direction(handler: Any) -> None:
    handler.send_json(answer_of([[0.0] * OWN_DIMENSIONS for _ in handler.texts], 1))


def with_number(number: float) -> Answering:
    def answer(handler: Any) -> None:
        handler.send_json(answer_of([[number, *vector[1:]] for vector in vectors(handler)], 1))

    return answer


@pytest.mark.parametrize("answer", [well, in_floats], ids=["base64", "floats"])
async def test_vectors_are_scaled_and_in_the_order_of_the_texts(
    server: EmbeddingServer, model: HostedModel, answer: Answering
) -> None:
    server.answering = answer
    texts = ["connection pool exhausted", "centre a div", "connection pool exhausted", "déjà \ud800 \x00 vu"]

    embedder: Embedder = model
    embeddings = await embedder.encode(texts)

    for text, embedding in zip(texts, embeddings, strict=True):
        expected = LexicalEmbedder(OWN_DIMENSIONS).embed(text.replace("\ud800", "?"))
        np.testing.assert_allclose(embedding.vector, expected.vector, atol=1e-6)
        assert embedding.vector.dtype == np.float32
        assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-6)
    assert (embedder.model_id, embedder.model_version, embedder.is_lexical) == (MODEL, "openai", False)
    assert await model.encode([]) == []
    [request] = server.requests
    assert request.path == "/v1/embeddings"
    assert request.body == {"model": MODEL, "input": [*texts[:3], "déjà ? \x00 vu"], "encoding_format": "base64"}


async def test_dimensions_are_sent_only_where_they_are_asked_for(server: EmbeddingServer) -> None:
    for asked, found in ((None, OWN_DIMENSIONS), (32, 32)):
        model = hosted(server, asked=asked)
        await model.probe(patiently=True)
        [embedding] = await model.encode(["text"])
        await model.close()
        assert model.dimensions == len(embedding.vector) == found
        assert server.requests[-1].body.get("dimensions") == asked


async def test_many_texts_go_in_several_requests_a_few_at_a_time(server: EmbeddingServer, model: HostedModel) -> None:
    server.answering = late(0.1)
    texts = [f"text number {number}" for number in range(64 * 6 + 1)] + ["x " * 40_000, "y " * 40_000]

    embeddings = await model.encode(texts)

    assert len(server.requests) == 8
    assert 1 < server.most_at_once <= 4
    assert max(len(request.body["input"]) for request in server.requests) == 64
    assert np.array_equal(embeddings[65].vector, (await model.encode([texts[65]]))[0].vector)


async def test_only_so_many_requests_are_under_way_for_all_callers(server: EmbeddingServer, model: HostedModel) -> None:
    server.answering = late(0.05)

    await asyncio.gather(*(model.encode([f"text {number}"]) for number in range(30)))

    assert len(server.requests) == 30
    assert 1 < server.most_at_once <= 8


async def test_tokens_are_those_the_endpoint_counts_for_one_text_alone(
    server: EmbeddingServer, model: HostedModel
) -> None:
    [alone] = await model.encode(["three short words"])
    first, second = await model.encode(["three short words", "two more"])
    server.answering = lambda handler: handler.send_json(answer_of(vectors(handler), None))
    [uncounted] = await model.encode(["three short words"])

    assert (alone.tokens_read, alone.tokens_total) == (3, 3)
    for embedding in (first, second, uncounted):
        assert (embedding.tokens_read, embedding.tokens_total) == (0, 0)


@pytest.mark.parametrize(
    ("message", "status", "least"),
    [(OPENAI, 400, 90), (TEI, 413, 90), (TEI, 422, 90), ("the input length exceeds the context length", 400, 60)],
    ids=["numbers", "413", "422", "no numbers"],
)
async def test_a_text_too_long_is_cut_at_its_end_and_the_total_estimated(
    server: EmbeddingServer, model: HostedModel, message: str, status: int, least: int
) -> None:
    server.answering = reading(100, message, status)
    long = "word " * 1000

    [embedding] = await model.encode([long])
    short, among = await model.encode(["short", long])

    assert least <= embedding.tokens_read <= 100
    assert embedding.tokens_total == pytest.approx(1000, rel=0.02)
    assert np.array_equal(among.vector, embedding.vector)
    assert (short.tokens_read, short.tokens_total) == (1, 1)
    assert long.startswith(server.requests[-1].body["input"][0])


@pytest.mark.parametrize(("claimed", "read", "total"), [(2**31 - 1, 2**31 - 1, 2**31 - 1), (2**31, 0, 0), (-1, 0, 0)])
async def test_a_count_beyond_all_bounds_fits_the_contract(
    server: EmbeddingServer, model: HostedModel, claimed: int, read: int, total: int
) -> None:
    server.next_answers.append(failing(413))
    server.answering = lambda handler: handler.send_json(answer_of(vectors(handler), claimed))

    [embedding] = await model.encode(["some text"])

    assert (embedding.tokens_read, embedding.tokens_total) == (read, total)


async def test_an_endpoint_that_reads_nothing_is_not_asked_for_ever(
    server: EmbeddingServer, model: HostedModel
) -> None:
    server.answering = failing(413, "too long")

    with pytest.raises(EmbedderUnavailable, match=r"even \d+ characters"):
        await model.encode(["word " * 20_000])

    assert len(server.requests) == 12


async def test_more_texts_than_an_endpoint_takes_are_sent_one_by_one(
    server: EmbeddingServer, model: HostedModel
) -> None:
    def one_at_a_time(handler: Any) -> None:
        (well if len(handler.texts) == 1 else failing(422, "batch size 3 > maximum allowed batch size 1"))(handler)

    server.answering = one_at_a_time

    embeddings = await model.encode(["one", "two two", "three three three"])

    assert [embedding.tokens_read for embedding in embeddings] == [1, 2, 3]


@pytest.mark.parametrize(
    "failure",
    [failing(500), failing(503), failing(429, Retry_After="0.3"), dying],
    ids=["500", "503", "429", "dies in mid-answer"],
)
async def test_transient_failures_are_retried(server: EmbeddingServer, model: HostedModel, failure: Answering) -> None:
    server.next_answers.append(failure)
    began = time.monotonic()

    [embedding] = await model.encode(["text"])

    assert embedding.tokens_read == 1
    assert len(server.requests) == 2
    assert time.monotonic() - began >= 0.25


@pytest.mark.parametrize(
    ("failure", "requests", "message"),
    [
        (failing(500), 3, "answers 500"),
        (failing(429, Retry_After="0.05"), 3, "answers 429"),
        (dying, 3, "breaks off its answer"),
        (slowly(8), 1, "did not answer within 2 s"),
        (failing(401, f"wrong key {KEY}"), 1, "answers 401"),
        (failing(404), 1, "answers 404"),
        (failing(400, "the secret text is not nice"), 1, "answers 400"),
        (lambda handler: handler.send(200, b"<html>welcome"), 1, "not the JSON of embeddings"),
        (lambda handler: handler.send(200, b"[" * 100_000), 1, "longer than the 72704 bytes"),
        (answering([]), 1, "not the JSON of embeddings"),
        (answering({"data": None}), 1, "not the JSON of embeddings"),
        (answering({"data": [{"index": 0, "embedding": "no base64"}]}), 1, "not the JSON of embeddings"),
        (answering({"data": [{"index": [], "embedding": [1.0]}]}), 1, "numbers its vectors otherwise"),
        (answering({"data": [{"index": 0, "embedding": {"a": 1}}]}), 1, "not the JSON of embeddings"),
        (answering({"data": [{"index": 0, "embedding": 1.0}]}), 1, "not the JSON of embeddings"),
        (answering({"data": [{"index": 0, "embedding": []}]}), 1, "no direction"),
        (answering(answer_of([], 0)), 1, "1 text with 0 vectors"),
        (answering(answer_of([[1.0], [2.0]], 0)), 1, "1 text with 2 vectors"),
        (answering({"data": [{"index": 1, "embedding": [1.0]}]}), 1, "numbers its vectors otherwise"),
        (with_number(float("nan")), 1, "not finite"),
        (with_number(float("inf")), 1, "not finite"),
        (without_direction, 1, "no direction"),
        (answering(answer_of([[1.0, 2.0]], 1)), 1, "set EMBEDDING_DIMENSIONS=96"),
    ],
)
async def test_lasting_failures_are_explained_without_secrets(
    server: EmbeddingServer, failure: Answering, requests: int, message: str
) -> None:
    server.answering = failure
    model = hosted(server, known=OWN_DIMENSIONS, seconds=2)

    with capture_logs() as logs, pytest.raises(EmbedderUnavailable, match=message) as caught:
        await model.encode(["the secret text"])

    assert len(server.requests) == requests
    [line] = logs
    assert line["log_level"] in {"warning", "error"}
    for told in (str(line), str(caught.value)):
        assert KEY not in told
        assert "secret text" not in told
    # Nothing stays broken.
    server.answering = well
    assert len(await model.encode(["text"])) == 1
    await model.close()


@pytest.mark.parametrize(
    ("header", "requests", "told"),
    [
        ("0.05", 3, 0.05),
        ("77", 1, 77.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1, 300.0),
        ("0", 3, None),
        ("soon", 3, None),
    ],
)
async def test_retry_after_is_passed_on_and_only_waited_for_if_short(
    server: EmbeddingServer, model: HostedModel, header: str, requests: int, told: float | None
) -> None:
    server.answering = failing(429, Retry_After=header)

    with pytest.raises(EmbedderUnavailable) as caught:
        await model.encode(["text"])

    assert len(server.requests) == requests
    assert caught.value.retry_after == told


async def test_an_endpoint_that_comes_back_is_used_again(server: EmbeddingServer, model: HostedModel) -> None:
    await model.encode(["text"])
    server.stop()
    with pytest.raises(EmbedderUnavailable, match="cannot be reached"):
        await model.encode(["text"])
    server.start()

    assert len(await model.encode(["text"])) == 1


async def test_a_request_nobody_waits_for_is_given_up(server: EmbeddingServer, model: HostedModel) -> None:
    server.answering = slowly(8)
    encoding = asyncio.ensure_future(model.encode(["text"]))
    await asyncio.to_thread(server.busy.wait, 2)

    encoding.cancel()
    await asyncio.gather(encoding, return_exceptions=True)

    assert await asyncio.to_thread(server.left.wait, 2)
    assert len(server.requests) == 1


async def test_after_closing_nothing_is_encoded(server: EmbeddingServer) -> None:
    model = hosted(server, known=OWN_DIMENSIONS)
    server.answering = late(0.5)
    under_way = asyncio.ensure_future(model.encode(["text"]))
    await asyncio.to_thread(server.busy.wait, 2)
    await model.close()
    await model.close()
    for texts in (["text"], []):
        with pytest.raises(EmbedderUnavailable, match="closed"):
            await model.encode(texts)
    [outcome] = await asyncio.gather(under_way, return_exceptions=True)
    assert isinstance(outcome, (list, EmbedderUnavailable))


@pytest.mark.parametrize(
    ("changes", "answer", "message"),
    [
        ({"key": "sk-wrong-key"}, well, r"answers 401.*EMBEDDING_API_KEY"),
        (
            {"name": "unheard-of"},
            well,
            r"404 for the model unheard-of: the model 'unheard-of' does not exist; check EMBEDDING_MODEL",
        ),
        ({"asked": 32}, in_floats, None),
        (
            {"asked": 32},
            answering(answer_of([[1.0] * 96], 1)),
            r"vectors of 96 where EMBEDDING_DIMENSIONS asks for 32: unset",
        ),
        ({"asked": 32}, failing(400, "does not support matryoshka"), r"matryoshka.*EMBEDDING_DIMENSIONS"),
        ({}, answering(answer_of([[1.0] * 3072], 1)), r"vectors of 3072.*set EMBEDDING_DIMENSIONS to 2000 or less"),
    ],
    ids=["key", "model", "dimensions", "ignored dimensions", "refused dimensions", "too long a vector"],
)
async def test_a_failure_at_the_start_names_the_setting(
    server: EmbeddingServer, changes: dict[str, Any], answer: Answering, message: str | None
) -> None:
    server.answering = answer
    model = hosted(server, **changes)
    if message is None:
        await model.probe(patiently=True)
    else:
        with pytest.raises(ModelNotUsable, match=message) as caught:
            await model.probe(patiently=True)
        assert "sk-" not in str(caught.value)
    await model.close()


async def test_no_key_sends_no_key(server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    server.answering = in_floats
    model = hosted(server, key="", known=OWN_DIMENSIONS)

    await model.encode(["text"])
    await model.close()

    assert server.requests[0].key is None
