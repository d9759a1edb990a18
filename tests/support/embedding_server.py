"""A real HTTP server that speaks the protocol of OpenAI-compatible embedding endpoints, well or badly as told."""

import base64
import json
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import numpy as np

from commontrace.embeddings.lexical import LexicalEmbedder

OWN_DIMENSIONS = 96
KEY = "sk-only-for-tests-0123456789"
MODEL = "words-hashed"

Answering = Callable[["Handler"], None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One that came in."""

    path: str
    key: str | None
    cookie: str | None
    headers: dict[str, str]
    body: dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    """One connection. Answering functions get it with `body` read."""

    protocol_version = "HTTP/1.1"
    owner: "EmbeddingServer"
    body: dict[str, Any]

    def setup(self) -> None:
        super().setup()
        self.owner.accepted += 1
        self.owner.connections.add(self.connection)

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.owner.connections.discard(self.connection)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        content = self.rfile.read(length)
        if len(content) < length:
            # The client has left.
            return
        self.body = json.loads(content)
        owner = self.owner
        key, cookie = self.headers["Authorization"], self.headers["Cookie"]
        headers = {name.lower(): value for name, value in self.headers.items()}
        owner.requests.append(Request(path=self.path, key=key, cookie=cookie, headers=headers, body=self.body))
        with owner.lock:
            owner.under_way += 1
            owner.most_at_once = max(owner.most_at_once, owner.under_way)
            answering = owner.next_answers.popleft() if owner.next_answers else owner.answering
        owner.busy.set()
        try:
            answering(self)
        finally:
            with owner.lock:
                owner.under_way -= 1

    @property
    def texts(self) -> list[str]:
        return list(self.body["input"])

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(content).encode(), headers)

    def wait_until_left(self, seconds: float) -> None:
        """Waits until the client has gone, and records that it has."""
        self.connection.settimeout(seconds)
        with suppress(TimeoutError):
            if self.connection.recv(1) == b"":
                self.owner.left.set()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass


class _Server(ThreadingHTTPServer):
    """Says nothing of callers who leave before their answer: standard error may be that of a command under test."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class EmbeddingServer:
    """Serves on a loopback port of its own, the same after `stop` and `start`; vectors are those of hashed words.

    `next_answers` are used up, one a request, before `answering`. `requests` are all that came in, over `accepted`
    connections.
    """

    def __init__(self) -> None:
        self.answering: Answering = well
        self.next_answers: deque[Answering] = deque()
        self.requests: list[Request] = []
        self.connections: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.under_way = self.most_at_once = self.accepted = 0
        self.busy, self.left = threading.Event(), threading.Event()
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        handler = type("OwnHandler", (Handler,), {"owner": self})
        self._server = _Server(("127.0.0.1", self._port), handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """Refuses connections, and cuts those there are."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def vectors(handler: Handler) -> list[list[float]]:
    embedder = LexicalEmbedder(handler.body.get("dimensions", OWN_DIMENSIONS))
    # Not of unit length: that is the client's work.
    return [(embedder.embed(text).vector * 3.5).tolist() for text in handler.texts]


def answer_of(embeddings: list[Any], tokens: int | None) -> dict[str, Any]:
    data = [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(embeddings)]
    usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    # Out of order, as the protocol allows.
    return {"object": "list", "model": MODEL, "data": data[::-1]} | usage


def tokens_of(handler: Handler) -> int:
    return sum(len(text.split()) for text in handler.texts)


def well(handler: Handler) -> None:
    if handler.headers["Authorization"] != f"Bearer {KEY}":
        # As unkind as a server can be: it repeats the key.
        return handler.send_json({"error": {"message": f"wrong key {handler.headers['Authorization']}"}}, 401)
    if handler.body["model"] != MODEL:
        return handler.send_json({"error": {"message": f"the model {handler.body['model']!r} does not exist"}}, 404)
    if handler.body.get("encoding_format") != "base64":
        return in_floats(handler)
    packed = [base64.b64encode(_float32(vector)).decode() for vector in vectors(handler)]
    return handler.send_json(answer_of(packed, tokens_of(handler)))


def in_floats(handler: Handler) -> None:
    handler.send_json(answer_of(vectors(handler), tokens_of(handler)))


def failing(status: int, message: str = "no", **headers: str) -> Answering:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.send_json({"error": {"message": message}}, status, named)


def slowly(seconds: float) -> Answering:
    return lambda handler: handler.wait_until_left(seconds)


def late(seconds: float) -> Answering:
    def answer(handler: Handler) -> None:
        time.sleep(seconds)
        well(handler)

    return answer


def dying(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"object": "list", "data": [')
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def reading(limit: int, message: str, status: int = 400) -> Answering:
    """Refuses a request in which a text has more words than the model reads."""

    def answer(handler: Handler) -> None:
        longest = max(len(text.split()) for text in handler.texts)
        if longest > limit:
            return failing(status, message.format(limit=limit, given=longest))(handler)
        return well(handler)

    return answer


def _float32(vector: list[float]) -> bytes:
    return np.array(vector, "<f4").tobytes()
