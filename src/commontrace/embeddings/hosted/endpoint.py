"""One request to an OpenAI-compatible endpoint: in time, repeated where that helps, failures told apart."""

import asyncio
import re
from collections.abc import Sequence

import httpx2
import openai

from commontrace.embeddings.embedder import EmbedderUnavailable
from commontrace.embeddings.hosted.answer import Answer, longest_answer, read_answer, retry_after
from commontrace.embeddings.hosted.client import EndpointClient, most_bytes
from commontrace.embeddings.hosted.environment import proxy_variable
from commontrace.sharing.fair_limiter import FairLimiter

_RETRIES = 2
_REQUESTS_AT_ONCE = 8
_CONNECT_SECONDS = 5.0

_REFUSED_CONTENT = {400, 413, 422}
_KEY_REFUSED = {401, 403}
_PASSING = {408, 409, 425, 429}
_TOO_LONG = re.compile(
    r"context.{0,20}(length|size|window)|too (long|large|many tokens)|max\w{0,12}.{0,40}(length|tokens)"
    r"|(less|fewer|more) than \d+ tokens|exceeds?.{0,60}(limit|length|maximum|context|tokens)|token limit"
)
# Of up to nine digits: more are no number of tokens, and need not fit into a float.
_COUNTED = re.compile(r"\b(\d{1,9})\s*(?:input )?tokens|given:?\s*(\d{1,9})\b")
_SHOWN_CHARACTERS = 300


class EndpointRefuses(Exception):
    """Repeating does not help: somebody has to change the settings or the endpoint.

    `said` is what the endpoint says about it, which may repeat the text; `settings` are those that may be wrong.
    """

    def __init__(self, message: str, *, said: str = "", settings: str = "EMBEDDING_MODEL") -> None:
        """Takes a sentence without secrets."""
        super().__init__(message)
        self.said = said
        self.settings = settings


class ContentRefused(EndpointRefuses):
    """It is about what was sent, which may be too long: `share` of it is worth another try, None if it is not that."""

    def __init__(self, message: str, *, said: str, share: float | None) -> None:
        """Takes how much of the text the endpoint would read, as far as it tells."""
        super().__init__(message, said=said, settings="EMBEDDING_MODEL and EMBEDDING_DIMENSIONS")
        self.share = share


class Endpoint:
    """The `/embeddings` of a base URL. `dimensions` is only sent if it is given.

    At most eight requests are under way at a time. A request may take `timeout` seconds, waiting for its turn and its
    repetitions included; a cancelled one is given up at once. Making it raises ModelNotUsable where the environment
    keeps HTTP from working.
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
        self._turns = FairLimiter(_REQUESTS_AT_ONCE)
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            # Without one, the library would look for another's in the environment.
            api_key=api_key or "none",
            organization="",
            project="",
            timeout=httpx2.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
            max_retries=_RETRIES,
            http_client=EndpointClient(base_url, api_key=api_key),
        )
        self._impatient = self._client.with_options(max_retries=0)

    async def embed(
        self, texts: Sequence[str], *, expected_dimensions: int | None = None, patiently: bool = True
    ) -> Answer:
        """Returns the texts' vectors; tries once unless patient. Raises EmbedderUnavailable, EndpointRefuses.

        Raises UnusableAnswer for one that cannot be understood, or is longer than `expected_dimensions` explain; None
        allows any that a model might have.
        """
        most_bytes.set(longest_answer(texts=len(texts), dimensions=expected_dimensions))
        client = self._client if patiently else self._impatient
        try:
            async with asyncio.timeout(self._timeout), self._turns.hold():
                answer = await client.embeddings.with_raw_response.create(
                    input=list(texts),
                    model=self.model,
                    dimensions=openai.omit if self.dimensions is None else self.dimensions,
                )
        except (TimeoutError, openai.APITimeoutError) as error:
            raise EmbedderUnavailable(f"the embedding endpoint did not answer within {self._timeout:g} s") from error
        except openai.APIStatusError as error:
            raise self._failure(error) from error
        except UnicodeEncodeError as error:
            raise EmbedderUnavailable("OPENAI_CUSTOM_HEADERS holds what no header can: unset it") from error
        except RuntimeError as error:
            # Closed while it waited to try again.
            if not self._client.is_closed():
                raise
            raise EmbedderUnavailable("the server is stopping") from error
        except openai.OpenAIError as error:
            # With a cause that is about the way there, or else about what came back.
            is_broken = isinstance(error.__cause__, httpx2.ReadError | httpx2.RemoteProtocolError)
            fault = "breaks off its answer, or does not speak HTTP" if is_broken else "cannot be reached"
            proxy = proxy_variable(self.base_url)
            way = "" if proxy is None else f" through the proxy of {proxy}: unset it, or put the host into NO_PROXY"
            raise EmbedderUnavailable(f"the embedding endpoint {fault}{way}") from error
        return read_answer(answer.content, texts=len(texts), dimensions=expected_dimensions)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    def _failure(self, error: openai.APIStatusError) -> Exception:
        status = error.status_code
        if status in _PASSING or status >= 500:
            wait = retry_after(error.response.headers)
            return EmbedderUnavailable(f"the embedding endpoint answers {status}", retry_after=wait)
        message = f"the embedding endpoint answers {status}"
        if status in _KEY_REFUSED:
            # What it says may repeat the key.
            return EndpointRefuses(message, settings="EMBEDDING_API_KEY")
        if error.response.is_redirect:
            # Following it would send the texts, and perhaps the key, to whomever the endpoint names.
            message = f"{message}, a redirect, which is not followed"
            return EndpointRefuses(message, settings="EMBEDDING_BASE_URL")
        said = _said(error)
        if self._api_key:
            said = said.replace(self._api_key, "***")
        if status in _REFUSED_CONTENT:
            share = readable_share(status, said)
            return ContentRefused(message, said=said[:_SHOWN_CHARACTERS], share=share)
        settings = "EMBEDDING_MODEL and EMBEDDING_BASE_URL, which often ends in /v1"
        return EndpointRefuses(message, said=said[:_SHOWN_CHARACTERS], settings=settings)


def readable_share(status: int, said: str) -> float | None:
    """Returns how much of a text to try again with if it was refused as too long; None if it was not."""
    said = said[:4000].lower()
    if status != 413 and not _TOO_LONG.search(said):
        return None
    counts = sorted({int(a or b) for a, b in _COUNTED.findall(said)} - {0})
    # The limit and what was given. A token more or less is nobody's promise.
    return 0.95 * counts[0] / counts[-1] if len(counts) > 1 else 0.7


def _said(error: openai.APIStatusError) -> str:
    message = error.body.get("message") if isinstance(error.body, dict) else None
    said = message if isinstance(message, str) else error.response.text
    # It is shown on terminals and in logs.
    return "".join(character if character.isprintable() else " " for character in said)
