"""Embedder on an OpenAI-compatible endpoint: batches, truncation of long texts, token counts (ADR 0012)."""

import asyncio
from collections.abc import Iterator, Sequence

import structlog

from commontrace.embeddings.embedder import HOSTED_VERSION, EmbedderUnavailable, Embedding, ModelNotUsable
from commontrace.embeddings.hosted.answer import MAX_TOKENS, Answer, UnusableAnswer
from commontrace.embeddings.hosted.endpoint import Endpoint
from commontrace.embeddings.hosted.refusals import ContentRefused, EndpointRefuses
from commontrace.plurals import counted
from commontrace.settings import MAX_DIMENSIONS

_BATCH_TEXTS = 64
_BATCH_CHARACTERS = 100_000
_BATCHES_AT_ONCE = 4
_TRUNCATIONS = 12

log = structlog.get_logger()


class HostedModel:
    """Embedder on a hosted model: every answer is checked, every vector scaled to unit length.

    `dimensions` is the length of the vectors if it is known before `probe`, otherwise None.

    Tokens are the endpoint's count for a text that is sent alone, special tokens included. Texts sent together are not
    counted (0 of 0), nor are those of an endpoint that does not count. A text that is refused as too long is truncated
    until it is accepted; `tokens_total` is then an estimate, with as many tokens per character in the rest. An
    endpoint's own silent truncation cannot be noticed.
    """

    def __init__(self, endpoint: Endpoint, *, dimensions: int | None) -> None:
        self._endpoint = endpoint
        self._dimensions = dimensions or endpoint.dimensions or 0
        self._closed = False

    @property
    def model_id(self) -> str:
        """The name of the model at the endpoint."""
        return self._endpoint.model

    @property
    def model_version(self) -> str:
        """Always HOSTED_VERSION."""
        return HOSTED_VERSION

    @property
    def dimensions(self) -> int:
        """The length that the settings ask for, otherwise the model's own; 0 while neither is known."""
        return self._dimensions

    @property
    def is_lexical(self) -> bool:
        """Always false: similarity means shared meaning."""
        return False

    async def probe(self, *, patiently: bool) -> None:
        """Asks the endpoint for the length of the vectors. Raises ModelNotUsable, EmbedderUnavailable."""
        where = f"the embedding endpoint {self._endpoint.base_url}"
        try:
            answer = await self._endpoint.embed(["probe"], patiently=patiently)
        except EndpointRefuses as error:
            why = f": {error.said}" if error.said else ""
            raise ModelNotUsable(
                f"{error} for the model {self.model_id}{why}; check {error.settings} ({self._endpoint.base_url})"
            ) from error
        except UnusableAnswer as error:
            raise EmbedderUnavailable(
                f"{where} cannot be understood: {error}; EMBEDDING_BASE_URL often ends in /v1"
            ) from error
        found = answer.vectors.shape[1]
        asked = self._endpoint.dimensions
        if asked is not None and found != asked:
            raise ModelNotUsable(
                f"{where} answers with vectors of {found} where EMBEDDING_DIMENSIONS asks for {asked}: unset it"
            )
        if found > MAX_DIMENSIONS:
            raise ModelNotUsable(
                f"{self.model_id} makes vectors of {found}, and pgvector's index takes at most {MAX_DIMENSIONS}:"
                f" set EMBEDDING_DIMENSIONS to {MAX_DIMENSIONS} or less"
            )
        self._dimensions = found

    async def encode(self, texts: Sequence[str]) -> list[Embedding]:
        """Encodes every text, many with one request and at most four requests at a time.

        Raises EmbedderUnavailable, also for faults that need a repair, which are logged as errors. A cancelled call
        cancels its requests.
        """
        self._check_open()
        batches = list(_batches([_sendable(text) for text in texts]))
        answers: dict[int, list[Embedding]] = {}
        remaining = iter(enumerate(batches))

        async def encode_remaining() -> None:
            for number, batch in remaining:
                answers[number] = await self._encode_and_log_failures(batch)

        workers = [asyncio.ensure_future(encode_remaining()) for _ in range(min(_BATCHES_AT_ONCE, len(batches)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        return [embedding for number in range(len(batches)) for embedding in answers[number]]

    async def close(self) -> None:
        """Refuses new calls and closes the connections. May be called again."""
        self._closed = True
        await self._endpoint.close()

    def _check_open(self) -> None:
        if self._closed:
            raise EmbedderUnavailable(f"{self.model_id} has been closed")

    async def _encode_and_log_failures(self, texts: list[str]) -> list[Embedding]:
        try:
            return await self._encode(texts)
        except EmbedderUnavailable as error:
            log.warning("a text cannot be encoded", why=str(error), retry_after=error.retry_after)
            raise
        except EndpointRefuses as error:
            # Without `said`, which may repeat the text.
            log.error("the embedding endpoint refuses", why=str(error), check=error.settings)  # noqa: TRY400
            raise EmbedderUnavailable(str(error)) from error
        except UnusableAnswer as error:
            log.error("the embedding endpoint cannot be understood", why=str(error))  # noqa: TRY400
            raise EmbedderUnavailable(f"the embedding endpoint cannot be understood: {error}") from error

    async def _encode(self, texts: list[str]) -> list[Embedding]:
        self._check_open()
        if len(texts) == 1:
            return [await self._encode_alone(texts[0])]
        try:
            answer = await self._endpoint.embed(texts, expected_dimensions=self._dimensions or None)
        except ContentRefused:
            # One text may be too long, or the batch too large.
            return [await self._encode_alone(text) for text in texts]
        return self._embeddings(answer, tokens_read=0, tokens_total=0)

    async def _encode_alone(self, text: str) -> Embedding:
        read = text
        for _ in range(_TRUNCATIONS):
            try:
                answer = await self._endpoint.embed([read], expected_dimensions=self._dimensions or None)
            except ContentRefused as error:
                if error.share is None or len(read) == 1:
                    raise
                read = read[: max(1, int(len(read) * error.share))]
            else:
                total = min(round(answer.tokens * len(text) / len(read)), MAX_TOKENS)
                [embedding] = self._embeddings(answer, tokens_read=answer.tokens, tokens_total=total)
                return embedding
        raise EndpointRefuses(f"the embedding endpoint refuses even {len(read)} characters of a text as too long")

    def _embeddings(self, answer: Answer, *, tokens_read: int, tokens_total: int) -> list[Embedding]:
        found = answer.vectors.shape[1]
        if found != self._dimensions:
            raise UnusableAnswer(
                f"its vectors have {counted(found, 'dimensions')}, the database's {self._dimensions}:"
                f" set EMBEDDING_DIMENSIONS={self._dimensions}"
            )
        return [
            Embedding(vector=vector, tokens_read=tokens_read, tokens_total=tokens_total) for vector in answer.vectors
        ]


def _sendable(text: str) -> str:
    # UTF-8 cannot carry a lone surrogate, and no endpoint takes an empty text.
    return text.encode("utf-8", errors="replace").decode("utf-8") or " "


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        if batch and (len(batch) == _BATCH_TEXTS or characters + len(text) > _BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(text)
        characters += len(text)
    if batch:
        yield batch
