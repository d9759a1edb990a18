"""Hostile and broken embedding endpoints: a named failure in time, within memory, without leaking texts."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from commontrace.embeddings.embedder import EmbedderUnavailable
from tests.support.embedding_server import KEY, OWN_DIMENSIONS, Answering, EmbeddingServer, well
from tests.support.hostile_answers import (
    CHUNKED,
    OK,
    body,
    bomb,
    chunk,
    endless,
    gzipped,
    nested_bomb,
    wire,
)
from tests.unit.embeddings.test_hosted_model import hosted

LONGER = "longer than the 72704 bytes"
VALUES = "has more than 1280 values"
NOT_JSON = "not the JSON of embeddings"
BROKEN = "breaks off its answer, or does not speak HTTP"
VECTOR = [1.0] * OWN_DIMENSIONS
ALLOWED_KIBIBYTES = 32 * 1024


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as server:
        yield server


def text(content: str, *headers: str) -> Answering:
    return body(content.encode(), *headers)


def item(embedding: Any = VECTOR, **changes: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": 0, "embedding": embedding} | changes


def items(*data: Any, **changes: Any) -> Answering:
    return text(json.dumps({"object": "list", "data": list(data)} | changes))


def number(literal: str) -> Answering:
    numbers = ",".join([literal] + ["1"] * (OWN_DIMENSIONS - 1))
    return text('{"data":[{"index":0,"embedding":[%s]}]}' % numbers)  # noqa: UP031 - braces


def packed(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()


GZIP = "Content-Encoding: gzip"
JSON_ANSWERS: list[tuple[str, Answering, str]] = [
    ("4,000 digits", number("9" * 4000), NOT_JSON),
    ("5,000 digits", number("9" * 5000), NOT_JSON),
    ("1e400", number("1e400"), "not finite"),
    ("NaN", number("NaN"), "not finite"),
    ("Infinity", number("-Infinity"), "not finite"),
    ("null among numbers", number("null"), NOT_JSON),
    ("a string among numbers", number('"1.0"'), NOT_JSON),
    ("truth among numbers", number("true"), NOT_JSON),
    ("a list among numbers", number("[1]"), NOT_JSON),
    ("deeply nested", text("[" * 1200), NOT_JSON),
    ("deeply nested objects", text('{"data":' * 1200), NOT_JSON),
    ("many values", text("[" + "[]," * 20_000), VALUES),
    ("many keys", text("{" + ",".join(f'"{key}":0' for key in range(5000))), VALUES),
    ("a string", text('"data"'), NOT_JSON),
    ("a number", text("9" * 4000), NOT_JSON),
    ("null", text("null"), NOT_JSON),
    ("data is an object", text('{"data":{"0":1}}'), NOT_JSON),
    ("data is a string", text('{"data":"x"}'), NOT_JSON),
    ("items are lists", items([1.0]), NOT_JSON),
    ("an embedding is null", items(item(None)), NOT_JSON),
    ("an embedding is an object", items(item({"0": 1.0})), NOT_JSON),
    ("an embedding is missing", items({"index": 0}), NOT_JSON),
    ("an embedding is a list of lists", items(item([VECTOR])), NOT_JSON),
    ("half a number in base64", items(item("AAAAAAA=")), NOT_JSON),
    ("base64 of nothing", items(item("")), "no direction"),
    ("NaN in base64", items(item(packed(float("nan"), 1.0))), "not finite"),
    ("a signalling NaN in base64", items(item(base64.b64encode(b"\x01\x00\x80\x7f").decode())), "not finite"),
    ("letters that are not ASCII", items(item("é" * 8)), NOT_JSON),
    ("another length", items(item([1.0] * 100)), "vectors have 100 dimensions"),
    ("an index that is a string", items(item(index="0")), "numbers its vectors"),
    ("an index that is negative", items(item(index=-1)), "numbers its vectors"),
    ("an index that is huge", items(item(index=10**400)), "numbers its vectors"),
    ("an index that is false", items(item(index=False)), "numbers its vectors"),
    ("an index that is 0.0", items(item(index=0.0)), "numbers its vectors"),
    ("an index that is null", items(item(index=None)), "numbers its vectors"),
    ("too many items", items(item(), item(index=1)), "1 text with 2 vectors"),
    ("no items", items(), "1 text with 0 vectors"),
    ("invalid UTF-8", body(b'{"data": "\xff\xfe"}'), NOT_JSON),
    ("UTF-16 that is cut off", body(b'\xff\xfe{\x00"'), NOT_JSON),
    ("empty", body(b""), "is empty"),
    ("blank", body(b" \r\n"), "is empty"),
    ("a page", text("<!doctype html><p>Welcome", "Content-Type: text/html"), NOT_JSON),
    ("204", wire(b"HTTP/1.1 204 No Content\r\n\r\n"), "is empty"),
]
BODIES: list[tuple[str, Answering, str]] = [
    ("gzip bomb", body(bomb(64), GZIP), LONGER),
    ("gzip bomb of gzip", body(nested_bomb(), "Content-Encoding: gzip, gzip"), "compressed in another way"),
    ("deflate bomb", body(bomb(64, wbits=15), "Content-Encoding: deflate"), "compressed in another way"),
    ("brotli", body(b"\x0b\x02\x80", "Content-Encoding: br"), "compressed in another way"),
    ("zstd", body(b"\x28\xb5\x2f\xfd", "Content-Encoding: zstd"), "compressed in another way"),
    ("unheard-of", body(b"{}", "Content-Encoding: \x1b[31m"), "compressed in another way|" + BROKEN),
    ("garbage as gzip", body(b"no gzip" * 100, GZIP), "said to be gzip"),
    ("a wrong checksum", body(gzipped(b"{}")[:-8] + b"12345678", GZIP), "said to be gzip"),
    ("gzip that is cut off", body(gzipped(b"{}" * 1000)[:-9], GZIP), "cut off"),
    ("gzip and more", body(gzipped(b"{}") + b"more", GZIP), "goes on behind its end"),
    ("empty gzip", body(b"", GZIP), "is empty"),
    ("endless", endless(b" " * 65536, first=OK + b"\r\n"), LONGER),
    ("endless chunks", endless(chunk(b"[" * 1000), first=CHUNKED), LONGER),
    (
        "endless after gzip",
        endless(b" " * 65536, first=OK + b"Content-Encoding: gzip\r\n\r\n" + gzipped(b"{}")),
        LONGER,
    ),
    (
        "endless gzip of nothing",
        endless(b"\0\0\0\xff\xff" * 1000, first=OK + b"Content-Encoding: gzip\r\n\r\n" + gzipped(b"")[:10]),
        LONGER,
    ),
    ("HTTP/1.0 without a length", wire(b"HTTP/1.0 200 OK\r\n\r\n{}"), NOT_JSON),
]
DRIPS: list[tuple[str, Answering]] = [
    ("a byte at a time", endless(chunk(b" "), first=CHUNKED, pause=0.1)),
    ("a header at a time", endless(b"X-More: x\r\n", first=OK, pause=0.1)),
    ("a letter of the status at a time", endless(b"0", first=b"HTTP/1.1 2", pause=0.1)),
    ("preliminary answers", endless(b"HTTP/1.1 103 Early Hints\r\n\r\n", first=b"")),
    ("a refusal's byte at a time", endless(chunk(b" "), first=CHUNKED.replace(b"200 OK", b"400 Bad"), pause=0.1)),
]
WIRES: list[tuple[str, Answering]] = [
    ("endless headers", endless(b"X-More: " + b"x" * 1000 + b"\r\n", first=OK)),
    ("an endless header", endless(b"x" * 1000, first=OK + b"X-More: ")),
    ("endless trailers", endless(b"X-More: " + b"x" * 1000 + b"\r\n", first=CHUNKED + b"0\r\n")),
    ("a chunk's length without end", endless(b"f" * 1000, first=CHUNKED)),
    ("a huge length", wire(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}")),
    ("a negative length", wire(OK + b"Content-Length: -1\r\n\r\n{}")),
    ("two lengths", wire(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}")),
    ("a length and cut off", wire(OK + b'Content-Length: 1000\r\n\r\n{"data": [')),
    ("a chunk that is cut off", wire(CHUNKED + b"ffff\r\n{}")),
    ("no HTTP", wire(b"SSH-2.0-OpenSSH_9.6\r\n")),
    ("nothing", wire(b"")),
]


def named(cases: list[Any]) -> Any:
    return [pytest.param(*case[1:], id=case[0]) for case in cases]


async def assert_told(
    server: EmbeddingServer, answer: Answering, message: str, *, requests: int | None, seconds: float = 4.0
) -> EmbedderUnavailable:
    server.answering = answer
    model = hosted(server, known=OWN_DIMENSIONS, seconds=seconds)
    began = time.monotonic()
    with capture_logs() as logs, pytest.raises(EmbedderUnavailable, match=message) as caught:
        await model.encode(["the secret text"])
    assert time.monotonic() - began < seconds + 1
    assert requests is None or len(server.requests) == requests
    for told in (str(logs), str(caught.value)):
        assert KEY not in told
        assert "secret text" not in told
    # Nothing stays broken.
    server.answering = well
    assert len(await model.encode(["text"])) == 1
    await model.close()
    return caught.value


@pytest.mark.parametrize(("answer", "message"), named(JSON_ANSWERS + BODIES))
async def test_malformed_answers_are_named_after_one_request(
    server: EmbeddingServer, answer: Answering, message: str
) -> None:
    await assert_told(server, answer, message, requests=1)


@pytest.mark.parametrize("answer", named(WIRES))
async def test_malformed_http_is_named(server: EmbeddingServer, answer: Answering) -> None:
    server.answering = answer
    model = hosted(server)
    with pytest.raises(EmbedderUnavailable, match=BROKEN):
        await model.probe(patiently=False)
    await model.close()


@pytest.mark.parametrize("answer", named(DRIPS))
async def test_endless_answers_end_with_the_timeout(server: EmbeddingServer, answer: Answering) -> None:
    await assert_told(server, answer, "did not answer within 0.5 s", requests=None, seconds=0.5)
    assert server.left.wait(2)
