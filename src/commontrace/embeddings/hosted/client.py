"""HTTP client for an embedding endpoint that is not trusted: bounded answers, no redirects, no cookies (ADR 0037)."""

import zlib
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from commontrace import __version__
from commontrace.embeddings.embedder import ModelNotUsable
from commontrace.embeddings.hosted.answer import UnusableAnswer, retry_after
from commontrace.embeddings.hosted.environment import fault_in_environment, transport_to

# Of a refusal, the beginning is shown or searched for numbers of tokens.
_ERROR_BYTES = 64 * 1024
_GZIP_WBITS = 16 + zlib.MAX_WBITS
_HEADERS = {
    "Accept": "application/json",
    # Only gzip: the others need packages, and with one layer a bound on decompressed bytes also bounds the time.
    "Accept-Encoding": "gzip",
    "Content-Type": "application/json",
    "User-Agent": f"commontrace/{__version__}",
}
_LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointResponse:
    """Status, decompressed body and requested wait of a response; nothing else that an endpoint sends is kept.

    `retry_after` is in seconds, None where the endpoint does not ask for a wait. `content` is empty for statuses that
    are neither a success nor an error, and ends after 64 KiB for an error.
    """

    status: int
    content: bytes
    retry_after: float | None

    @property
    def is_success(self) -> bool:
        """True for a status from 200 to 299."""
        return 200 <= self.status <= 299


class EndpointClient:
    """Connections to the `/embeddings` of a base URL.

    `seconds` bounds each read and write, `connect_seconds` each connection. Raises ModelNotUsable where the
    environment keeps HTTP from working. A body that is too long closes its connection at once.
    """

    def __init__(self, base_url: str, *, api_key: str, seconds: float, connect_seconds: float) -> None:
        self._url = httpx2.URL(f"{base_url.removesuffix('/')}/embeddings")
        authorization = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            self._http = httpx2.AsyncClient(
                follow_redirects=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                headers=_HEADERS | authorization,
                timeout=httpx2.Timeout(seconds, connect=connect_seconds),
                limits=_LIMITS,
                event_hooks={"response": [_remove_location]},
                transport=transport_to(base_url, _LIMITS),
            )
        except (ImportError, OSError, ValueError, httpx2.InvalidURL) as error:
            raise ModelNotUsable(
                f"the embedding endpoint {base_url} cannot be asked: {fault_in_environment(error)}"
            ) from error

    @property
    def is_closed(self) -> bool:
        """True after `close`."""
        return self._http.is_closed

    async def post(self, body: bytes, *, most_bytes: int) -> EndpointResponse:
        """Sends JSON once. Raises UnusableAnswer for a successful answer above `most_bytes`, and what httpx2 raises.

        The bound is for the received bytes and for the decompressed ones.
        """
        async with self._http.stream("POST", self._url, content=body) as response:
            content = await _read_body(response, most_bytes)
        return EndpointResponse(status=response.status_code, content=content, retry_after=retry_after(response.headers))

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()


async def _read_body(response: httpx2.Response, most_bytes: int) -> bytes:
    content = bytearray()
    if response.is_success:
        await _read(response, content, most=most_bytes)
        return bytes(content)
    if response.is_error:
        # The status alone decides, so a body that cannot be read does not matter.
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


async def _remove_location(response: httpx2.Response) -> None:
    # httpx2 parses it even where it does not follow redirects, and a malformed one would be an error of its own.
    response.headers.pop("location", None)
