"""HTTP to an embedding endpoint that is not trusted: bounded answers, no redirects, no cookies, few headers."""

import zlib
from collections.abc import Mapping
from contextlib import aclosing, suppress
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
import openai

from commontrace.embeddings.embedder import ModelNotUsable
from commontrace.embeddings.hosted.answer import UnusableAnswer, retry_after
from commontrace.embeddings.hosted.environment import fault_in_environment, transport_to

# Who asks to wait longer is not waited for: callers are told instead.
_LONGEST_WAIT_SECONDS = 5.0
# Of a refusal, the beginning is shown or searched for numbers of tokens.
_ERROR_BYTES = 64 * 1024
_GZIP_WBITS = 16 + zlib.MAX_WBITS
_SENT = {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}

most_bytes: ContextVar[int] = ContextVar("most_bytes")
"""The bound of a successful answer's body, for the requests of this context: received bytes, and decompressed ones."""


class EndpointClient(openai.DefaultAsyncHttpxClient):
    """Hands on a status, the wait that was asked for, and a body that was read within its bound.

    Everything else that an endpoint sends is dropped here, so that no library acts on it: `Location`, cookies,
    character sets, compressions that were not asked for. Whatever is too long closes the connection at once.
    """

    def __init__(self, base_url: str, *, api_key: str) -> None:
        """Takes where the endpoint is. Raises ModelNotUsable where the environment keeps HTTP from working."""
        self._authorization = f"Bearer {api_key}" if api_key else None
        nobody = DefaultCookiePolicy(allowed_domains=())
        # Only gzip: the others need packages, and one layer is what a bound on decompressed bytes also bounds in time.
        accepted = {"Accept-Encoding": "gzip"}
        try:
            super().__init__(
                follow_redirects=False,
                cookies=CookieJar(nobody),
                headers=accepted,
                event_hooks={"response": [_forget_location]},
                transport=transport_to(base_url, openai.DEFAULT_CONNECTION_LIMITS),
            )
        except (ImportError, OSError, ValueError, httpx2.InvalidURL) as error:
            raise ModelNotUsable(
                f"the embedding endpoint {base_url} cannot be asked: {fault_in_environment(error)}"
            ) from error

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Sends a request and reads the answer. Raises UnusableAnswer, and what httpx2 raises."""
        options["stream"] = True
        response = await super().send(self._with_few_headers(request), **options)
        try:
            content = await _body(response)
        finally:
            await response.aclose()
        headers = _kept(response.headers)
        # With the request as the library made it, which keeps in its headers what to make of the answer.
        return httpx2.Response(response.status_code, headers=headers, content=content, request=request)

    def _with_few_headers(self, request: httpx2.Request) -> httpx2.Request:
        # The library adds what it finds in OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_CUSTOM_HEADERS, for whatever
        # endpoint, and tells about this machine.
        headers = {name: value for name, value in request.headers.items() if name in _SENT}
        if self._authorization is not None:
            headers["authorization"] = self._authorization
        return httpx2.Request(
            request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
        )


async def _body(response: httpx2.Response) -> bytes:
    content = bytearray()
    if response.is_success:
        await _read(response, content, most=most_bytes.get())
        return bytes(content)
    if response.is_error:
        # The status tells enough, whatever becomes of the rest.
        with suppress(UnusableAnswer, httpx2.RequestError):
            await _read(response, content, most=_ERROR_BYTES)
    return bytes(content[:_ERROR_BYTES])


async def _read(response: httpx2.Response, content: bytearray, *, most: int) -> None:
    """Appends the decompressed body to `content`. Raises UnusableAnswer as soon as either size exceeds `most`."""
    gzip = zlib.decompressobj(_GZIP_WBITS) if _is_gzip(response.headers) else None
    received = 0
    try:
        async with aclosing(response.aiter_raw()) as stream:
            async for raw in stream:
                received += len(raw)
                content += raw if gzip is None else gzip.decompress(raw, most + 1 - len(content))
                if max(received, len(content)) > most:
                    raise UnusableAnswer(f"its answer is longer than the {most} bytes that these vectors can take")
    except zlib.error as error:
        raise UnusableAnswer("its answer is said to be gzip, and is not") from error
    if gzip is not None and received and (not gzip.eof or gzip.unused_data):
        raise UnusableAnswer("its answer is gzip that is cut off, or goes on behind its end")


def _is_gzip(headers: Mapping[str, str]) -> bool:
    codings = [coding.strip().lower() for coding in headers.get("content-encoding", "").split(",")]
    codings = [coding for coding in codings if coding not in {"", "identity"}]
    if codings not in ([], ["gzip"], ["x-gzip"]):
        raise UnusableAnswer("its answer is compressed in another way than with gzip, once, as it was asked to")
    return bool(codings)


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    kept = {"content-type": "application/json"}
    wait = retry_after(headers)
    if wait is not None:
        kept["retry-after"] = f"{wait:f}"
        if wait > _LONGEST_WAIT_SECONDS:
            # The library itself would wait for up to a minute.
            kept["x-should-retry"] = "false"
    return kept


async def _forget_location(response: httpx2.Response) -> None:
    # The library would read it even where it does not follow.
    response.headers.pop("location", None)
