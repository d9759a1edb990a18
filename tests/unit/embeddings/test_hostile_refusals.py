"""Redirects, waits, cookies and refusals of hostile embedding endpoints are not obeyed (ADR 0037)."""

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from commontrace.embeddings.embedder import EmbedderUnavailable, ModelNotUsable
from commontrace.embeddings.hosted.answer import longest_answer, read_answer
from commontrace.embeddings.hosted.refusals import readable_share
from tests.support.embedding_server import (
    KEY,
    OWN_DIMENSIONS,
    Answering,
    EmbeddingServer,
    answer_of,
    failing,
    vectors,
)
from tests.support.hostile_answers import OK, body, bomb, endless, gzipped, peak_kibibytes, wire
from tests.unit.embeddings.test_hosted_model import hosted

# Of which a valid answer to one text has a twentieth; the libraries' own buffers and the sending thread are in it.
ALLOWED_KIBIBYTES = 32 * 1024


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as server:
        yield server


async def failure(server: EmbeddingServer, answer: Answering, *, seconds: float = 4.0) -> EmbedderUnavailable:
    server.answering = answer
    model = hosted(server, known=OWN_DIMENSIONS, seconds=seconds)
    with pytest.raises(EmbedderUnavailable) as caught:
        await model.encode(["the secret text"])
    await model.close()
    return caught.value


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_a_redirect_is_refused_and_no_text_goes_elsewhere(server: EmbeddingServer, status: int) -> None:
    with EmbeddingServer() as elsewhere:
        redirect = failing(status, "moved", Location=f"{elsewhere.url}/embeddings")
        told = str(await failure(server, redirect))
        model = hosted(server)
        with pytest.raises(ModelNotUsable, match=r"a redirect, which is not followed.*check EMBEDDING_BASE_URL"):
            await model.probe(patiently=True)
        await model.close()
        assert elsewhere.accepted == 0
    assert told == f"the embedding endpoint answers {status}, a redirect, which is not followed"
    assert len(server.requests) == 2


@pytest.mark.parametrize("location", ["http://[", "//", "\x01", "file:///etc/passwd", "http://" + "x" * 5000, ""])
async def test_the_target_of_a_redirect_is_not_read(server: EmbeddingServer, location: str) -> None:
    moved = body(b"", f"Location: {location}", status="302 Found")
    assert "302, a redirect" in str(await failure(server, moved)) or location == "\x01"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("9" * 400, None),
        ("9" * 20, 300.0),
        ("1e9", 300.0),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Fri, 31 Dec 99999999999 23:59:59 GMT", None),
        ("Mon, 01 Jan 1990 00:00:00 GMT", None),
        ("\xff\xfe", None),
    ],
)
async def test_senseless_retry_after_is_bounded_or_ignored(
    server: EmbeddingServer, header: str, told: float | None
) -> None:
    server.answering = body(b"{}", f"Retry-After: {header}", status="429 Slow")
    model = hosted(server)
    with pytest.raises(EmbedderUnavailable, match="answers 429") as caught:
        await model.probe(patiently=False)
    await model.close()
    assert caught.value.retry_after == told


@pytest.mark.parametrize("header", ["Retry-After-Ms: 60000", "X-Should-Retry: true"])
async def test_headers_of_the_library_alone_are_not_obeyed(server: EmbeddingServer, header: str) -> None:
    began = time.monotonic()
    error = await failure(server, body(b"{}", header, status="400 No"))
    assert (str(error), len(server.requests)) == ("the embedding endpoint answers 400", 1)
    error = await failure(server, body(b"{}", header, status="503 No"))
    assert (str(error), len(server.requests)) == ("the embedding endpoint answers 503", 4)
    assert time.monotonic() - began < 5


async def test_cookies_are_neither_kept_nor_sent(server: EmbeddingServer) -> None:
    def with_cookie(handler: Any) -> None:
        handler.send_json(answer_of(vectors(handler), 1), headers={"Set-Cookie": "a=b; Max-Age=9999"})

    server.answering = with_cookie
    model = hosted(server, known=OWN_DIMENSIONS)
    for _ in range(2):
        await model.encode(["text"])
    await model.close()
    assert [request.cookie for request in server.requests] == [None, None]


@pytest.mark.parametrize(
    "status", ["101 Switching Protocols", "304 Not Modified", "402 Pay", "599 No", "600 What", "999 What"]
)
async def test_an_unusual_status_is_named(server: EmbeddingServer, status: str) -> None:
    told = str(await failure(server, body(b"", status=status)))
    assert told.startswith(f"the embedding endpoint answers {status[:3]}") or "does not speak HTTP" in told


REFUSALS: dict[str, Answering] = {
    "nested": body(b"[" * 60_000, status="400 No"),
    "endless": endless(b"x" * 65536, first=OK.replace(b"200 OK", b"400 No") + b"\r\n"),
    "a bomb": body(bomb(64), "Content-Encoding: gzip", status="400 No"),
    "garbage as gzip": body(b"garbage", "Content-Encoding: gzip", status="400 No"),
    "brotli": body(b"garbage", "Content-Encoding: br", status="400 No"),
    "cut off": wire(b"HTTP/1.1 400 No\r\nContent-Length: 1000\r\n\r\n{"),
    "a codec that unpacks": body(b"x", "Content-Type: text/plain; charset=zlib_codec", status="400 No"),
    "a codec that fails": body(b"x", "Content-Type: text/plain; charset=undefined", status="400 No"),
    "an error of other types": body(
        b'{"error":{"message":[1],"code":{"a":[]},"param":9e999,"type":[]}}', status="400 No"
    ),
    "an error that is a list": body(b'{"error":[[]]}', status="400 No"),
    "4,000 digits": body(b'{"error":{"message":%s}}' % (b"9" * 4000), status="400 No"),
    "invalid UTF-8": body(b"\xff\xfe\x00", status="400 No"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
async def test_the_body_of_a_refusal_changes_nothing_about_it(server: EmbeddingServer, refusal: Answering) -> None:
    assert str(await failure(server, refusal)) == "the embedding endpoint answers 400"
    assert len(server.requests) == 1


async def test_a_refusals_text_steers_no_terminal(server: EmbeddingServer) -> None:
    server.answering = failing(404, f"\x1b[31mno\r\n{KEY} \u202e model" + "x" * 1000)
    model = hosted(server)
    with pytest.raises(ModelNotUsable, match="404 for the model") as caught:
        await model.probe(patiently=True)
    await model.close()
    assert str(caught.value).isprintable()
    assert KEY not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("said", "share"),
    [
        ("too long: 5 tokens, given " + "9" * 400, 0.7),
        ("too long: " + "9" * 3900 + " tokens, 5 tokens", 0.7),
        ("too long: 999999999 tokens, 1 tokens", 0.95 / 999_999_999),
        ("max" * 1333, None),
        ("9" * 4000, None),
        ("exceeds" * 600, None),
    ],
)
def test_numbers_and_patterns_in_a_refusal_take_no_time_and_no_huge_numbers(said: str, share: float | None) -> None:
    # Of the processor: whatever else the machine does takes none of it.
    began = time.process_time()
    assert readable_share(400, said) == pytest.approx(share)
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize("tokens", [10**400, -1, 1.5, "7", None, True, [], float("nan")])
async def test_malformed_token_counts_are_ignored(server: EmbeddingServer, tokens: Any) -> None:
    server.answering = lambda handler: handler.send_json(
        answer_of(vectors(handler), 1) | {"usage": {"prompt_tokens": tokens}}
    )
    model = hosted(server, known=OWN_DIMENSIONS)
    [embedding] = await model.encode(["some text"])
    await model.close()
    assert (embedding.tokens_read, embedding.tokens_total) == (0, 0)


def test_vectors_near_the_ends_of_double_precision_have_a_direction() -> None:
    for size in (1e308, 1e160, 1.5e-162, 5e-324):
        answer = read_answer(json.dumps(answer_of([[size, -size], [size, 0.0]], 1)).encode(), texts=2)
        np.testing.assert_allclose(answer.vectors, [[0.5**0.5, -(0.5**0.5)], [1.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize("texts", [1, 64])
def test_the_longest_honest_answer_fits(texts: int) -> None:
    numbers = [-1.2345678901234567e-300 * (1 + place) for place in range(1536)]
    answer = json.dumps(answer_of([numbers] * texts, 1), indent=8).encode()
    assert len(answer) > texts * 1536 * 45
    assert len(answer) < longest_answer(texts=texts, dimensions=1536)
    assert read_answer(answer, texts=texts, dimensions=1536).vectors.shape == (texts, 1536)


async def test_an_answer_in_gzip_is_read_and_its_connection_used_again(server: EmbeddingServer) -> None:
    def packed(handler: Any) -> None:
        assert handler.headers["Accept-Encoding"] == "gzip"
        content = json.dumps(answer_of(vectors(handler), 3)).encode()
        handler.send(200, gzipped(content), {"Content-Encoding": "gzip"})

    server.answering = packed
    model = hosted(server, known=OWN_DIMENSIONS)
    for _ in range(2):
        [embedding] = await model.encode(["three short words"])
        assert embedding.tokens_read == 3
    await model.close()
    assert server.accepted == 1


LARGE: dict[str, Answering] = {
    "a gibibyte in gzip": body(bomb(1024), "Content-Encoding: gzip"),
    "a gibibyte in a refusal": body(bomb(1024), "Content-Encoding: gzip", status="500 No"),
    "an endless body": endless(b" " * 65536, first=OK + b"\r\n"),
    "an endless refusal": endless(b" " * 65536, first=OK.replace(b"200 OK", b"400 No") + b"\r\n"),
    "endless behind gzip": endless(b" " * 65536, first=OK + b"Content-Encoding: gzip\r\n\r\n" + gzipped(b"{}")),
}


@pytest.mark.parametrize("name", LARGE)
async def test_large_answers_are_cut_off_and_take_little_memory(
    server: EmbeddingServer, name: str, record_property: Any
) -> None:
    model = hosted(server, known=OWN_DIMENSIONS)
    await model.encode(["text"])
    server.answering = LARGE[name]
    memory = peak_kibibytes()
    before = next(memory)

    with pytest.raises(EmbedderUnavailable):
        await model.encode(["text"])

    more = next(memory) - before
    record_property("kibibytes", more)
    # The model is still open, its connection is not.
    assert "endless" not in name or server.left.wait(2)
    await model.close()
    assert more < ALLOWED_KIBIBYTES
