"""Embedding requests to an OpenAI-compatible endpoint: concurrency limit, deadline and retries (ADR 0056)."""

import asyncio
import json
import ssl
from collections.abc import Sequence

import anyio
import httpx2

from commontrace.backoff import backoff_seconds
from commontrace.embeddings.embedder import EmbedderUnavailable
from commontrace.embeddings.hosted.answer import Answer, longest_answer, read_answer
from commontrace.embeddings.hosted.client import EndpointClient, EndpointResponse
from commontrace.embeddings.hosted.environment import proxy_variable
from commontrace.embeddings.hosted.refusals import failure_of
from commontrace.fair_sharing.fair_limiter import FairLimiter

_REQUESTS_AT_ONCE = 8
_CONNECT_SECONDS = 5.0

_RETRIES = 2
_RETRIED_STATUSES = {408, 409, 429}
# An endpoint that asks for a longer wait is not retried: the wait is passed on to callers.
_LONGEST_WAIT_SECONDS = 5.0
_FIRST_BACKOFF_SECONDS = 0.5
# TLS failures that httpx2 does not translate into its own errors.
_CONNECTION_ERRORS = (httpx2.RequestError, ssl.SSLError, anyio.EndOfStream)


class Endpoint:
    """The `/embeddings` of a base URL. `dimensions` is only sent if it is given.

    At most eight requests are in progress at a time. A request takes at most `timeout` seconds, waiting for the
    concurrency limit and retries included; a cancelled one is given up at once. Raises ModelNotUsable where the
    environment keeps HTTP from working.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        model: str,
        dimensions: int | None,
        timeout: float,
    ) -> None:
        self.base_url = base_url
        self.model = model
        self.dimensions = dimensions
        self._api_key = api_key
        self._timeout = timeout
        self._limiter = FairLimiter(_REQUESTS_AT_ONCE)
        self._client = EndpointClient(
            base_url, api_key=api_key, seconds=timeout, connect_seconds=min(timeout, _CONNECT_SECONDS)
        )

    async def embed(
        self, texts: Sequence[str], *, expected_dimensions: int | None = None, patiently: bool = True
    ) -> Answer:
        """Returns the texts' vectors; tries once unless patient. Raises EmbedderUnavailable, EndpointRefuses.

        Raises UnusableAnswer for one that cannot be understood, or is longer than `expected_dimensions` explain; None
        allows any that a model might have.
        """
        most_bytes = longest_answer(texts=len(texts), dimensions=expected_dimensions)
        try:
            async with asyncio.timeout(self._timeout), self._limiter.hold():
                response = await self._post(
                    self._body(texts), most_bytes=most_bytes, retries=_RETRIES if patiently else 0
                )
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise EmbedderUnavailable(f"the embedding endpoint did not answer within {self._timeout:g} s") from error
        except RuntimeError as error:
            # Closed during the pause before a retry.
            if not self._client.is_closed:
                raise
            raise EmbedderUnavailable("the server is stopping") from error
        except _CONNECTION_ERRORS as error:
            is_broken = isinstance(error, httpx2.ReadError | httpx2.RemoteProtocolError)
            fault = "breaks off its answer, or does not speak HTTP" if is_broken else "cannot be reached"
            proxy = proxy_variable(self.base_url)
            way = "" if proxy is None else f" through the proxy of {proxy}: unset it, or put the host into NO_PROXY"
            raise EmbedderUnavailable(f"the embedding endpoint {fault}{way}") from error
        if not response.is_success:
            raise failure_of(response, api_key=self._api_key)
        return read_answer(response.content, texts=len(texts), dimensions=expected_dimensions)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    def _body(self, texts: Sequence[str]) -> bytes:
        # base64 is a quarter of the size; endpoints that do not know it answer with numbers.
        body: dict[str, object] = {"input": list(texts), "model": self.model, "encoding_format": "base64"}
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    async def _post(self, body: bytes, *, most_bytes: int, retries: int) -> EndpointResponse:
        """Sends until the answer is final or no retry is left; the last answer or error counts."""
        for retry in range(retries):
            try:
                response = await self._client.post(body, most_bytes=most_bytes)
            except _CONNECTION_ERRORS:
                await asyncio.sleep(_pause(retry))
                continue
            if not _is_retried(response):
                return response
            await asyncio.sleep(response.retry_after or _pause(retry))
        return await self._client.post(body, most_bytes=most_bytes)


def _is_retried(response: EndpointResponse) -> bool:
    is_transient = response.status in _RETRIED_STATUSES or response.status >= 500
    return is_transient and (response.retry_after or 0.0) <= _LONGEST_WAIT_SECONDS


def _pause(retry: int) -> float:
    """Returns the pause before a retry in seconds; retries count from 0."""
    return backoff_seconds(retry + 1, first=_FIRST_BACKOFF_SECONDS, longest=_LONGEST_WAIT_SECONDS)
