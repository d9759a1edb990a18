"""Classification of an embedding endpoint's error statuses: transient ones, and refusals that need other settings."""

import json
import re

from commontrace.embeddings.embedder import EmbedderUnavailable
from commontrace.embeddings.hosted.client import EndpointResponse

_CONTENT_STATUSES = {400, 413, 422}
_KEY_STATUSES = {401, 403}
_TRANSIENT_STATUSES = {408, 409, 425, 429}
_TOO_LONG = re.compile(
    r"context.{0,20}(length|size|window)|too (long|large|many tokens)|max\w{0,12}.{0,40}(length|tokens)"
    r"|(less|fewer|more) than \d+ tokens|exceeds?.{0,60}(limit|length|maximum|context|tokens)|token limit"
)
# Of up to nine digits: more are no number of tokens, and need not fit into a float.
_TOKEN_COUNT = re.compile(r"\b(\d{1,9})\s*(?:input )?tokens|given:?\s*(\d{1,9})\b")
_SEARCHED_CHARACTERS = 4000
_SHOWN_CHARACTERS = 300


class EndpointRefuses(Exception):
    """Permanent refusal: a retry does not help, the settings or the endpoint have to change.

    `said` is the endpoint's own message, which may repeat the text. `settings` names the settings that may be wrong.
    """

    def __init__(self, message: str, *, said: str = "", settings: str = "EMBEDDING_MODEL") -> None:
        super().__init__(message)
        self.said = said
        self.settings = settings


class ContentRefused(EndpointRefuses):
    """Refusal of the texts themselves, which may be too long.

    `share` is the part of a text, from 0 to 1, to send instead; None where the length is not the reason.
    """

    def __init__(self, message: str, *, said: str, share: float | None) -> None:
        super().__init__(message, said=said, settings="EMBEDDING_MODEL and EMBEDDING_DIMENSIONS")
        self.share = share


def failure_of(response: EndpointResponse, *, api_key: str) -> EmbedderUnavailable | EndpointRefuses:
    """Returns the error for a response that is no success. The key does not appear in it."""
    status = response.status
    message = f"the embedding endpoint answers {status}"
    if status in _TRANSIENT_STATUSES or status >= 500:
        return EmbedderUnavailable(message, retry_after=response.retry_after)
    if status in _KEY_STATUSES:
        # The endpoint's message may repeat the key.
        return EndpointRefuses(message, settings="EMBEDDING_API_KEY")
    if 300 <= status <= 399:
        # Following it would send the texts, and perhaps the key, to whatever host the endpoint names.
        return EndpointRefuses(f"{message}, a redirect, which is not followed", settings="EMBEDDING_BASE_URL")
    said = _message_of(response.content)
    if api_key:
        said = said.replace(api_key, "***")
    if status in _CONTENT_STATUSES:
        return ContentRefused(message, said=said[:_SHOWN_CHARACTERS], share=readable_share(status, said))
    settings = "EMBEDDING_MODEL and EMBEDDING_BASE_URL, which often ends in /v1"
    return EndpointRefuses(message, said=said[:_SHOWN_CHARACTERS], settings=settings)


def readable_share(status: int, said: str) -> float | None:
    """Returns the part of a text, from 0 to 1, to try again with; None if it was not refused for its length."""
    said = said[:_SEARCHED_CHARACTERS].lower()
    if status != 413 and not _TOO_LONG.search(said):
        return None
    counts = sorted({int(a or b) for a, b in _TOKEN_COUNT.findall(said)} - {0})
    # The smaller is the limit, the larger the text. 5 % less, because endpoints count a few tokens of their own.
    return 0.95 * counts[0] / counts[-1] if len(counts) > 1 else 0.7


def _message_of(content: bytes) -> str:
    """Returns the message of an OpenAI-style error object, otherwise the whole body; printable characters only."""
    text = content.decode("utf-8", errors="replace")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    # Terminals and logs show it.
    return "".join(
        character if character.isprintable() else " " for character in (message if isinstance(message, str) else text)
    )
