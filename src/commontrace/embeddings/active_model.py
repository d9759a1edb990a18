"""The embedding model a running server encodes with: that of the database, also after the database moved to another."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, Model, ModelNotUsable
from commontrace.embeddings.query_cache import QueryCache
from commontrace.embeddings.recorded_model import RecordedModel

Recorded = tuple[RecordedModel, RecordedModel | None]

log = structlog.get_logger()

_PERIOD_SECONDS = 1.0
# What has begun with a model that was replaced may end; a hosted one's request may take so long.
_RETIREMENT_SECONDS = 60.0
# A refused key or missing files seldom change from second to second.
_SECONDS_UNTIL_TRIED_AGAIN = 15.0


class ActiveModel:
    """The embedder of the database's current model. Everything asks for it when it needs it, and keeps it for a call.

    Belongs to one event loop.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        recorded: Callable[[], Awaitable[Recorded]],
        make: Callable[[RecordedModel], Awaitable[Embedder]],
    ) -> None:
        """Takes the embedder to begin with, which stays the caller's to close.

        `recorded` asks the database for its model, and for the one it is being moved to; `make` returns a model's
        embedder, or raises ModelNotUsable or EmbedderUnavailable.
        """
        self._queries: QueryCache | None = QueryCache(embedder)
        self._facts: Model = embedder
        self._recorded = recorded
        self._make = make
        self._looking = asyncio.Lock()
        self._prepared: Embedder | None = None
        self._failed: dict[RecordedModel, tuple[float, str]] = {}
        self._made: list[Embedder] = []
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def facts(self) -> Model:
        """Id, version, dimensions and kind of the model, also while it cannot be used."""
        return self._facts

    @property
    def queries(self) -> QueryCache:
        """The embedder with its memory of texts. Raises EmbedderUnavailable if these settings have no such model."""
        if self._queries is None:
            raise EmbedderUnavailable(
                f"this server's settings do not give {self._facts.model_id}, which the database was moved to;"
                " its log tells which settings do"
            )
        return self._queries

    @property
    def embedder(self) -> Embedder:
        """The embedder. Raises EmbedderUnavailable if these settings have no such model."""
        return self.queries.embedder

    @property
    def is_usable(self) -> bool:
        """Whether there is an embedder of the database's model."""
        return self._queries is not None

    async def run_refresh(self) -> None:
        """Looks every second, until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD_SECONDS)
            try:
                await self._prepare(await self.look())
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may see more
                log.debug("the recorded model is not known", error=str(error) or type(error).__name__)

    async def is_still(self, queries: QueryCache) -> bool:
        """Asks the database whether that is the embedder of its model, and follows it if not."""
        # Not behind others who look: searches with few hits ask all the time.
        current, _ = await self._recorded()
        if current.made_by(queries.embedder):
            return True
        await self.look()
        return False

    async def look(self) -> RecordedModel | None:
        """Asks the database for its model, follows it, and returns the next one. Raises what asking raises."""
        async with self._looking:
            current, upcoming = await self._recorded()
            if self._queries is None or not current.made_by(self._queries.embedder):
                await self._replace(current)
            return upcoming

    async def close(self) -> None:
        """Closes every embedder that was made here."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        for embedder in self._made:
            await embedder.close()

    async def _replace(self, current: RecordedModel) -> None:
        if self._prepared is not None and current.made_by(self._prepared):
            made: Embedder | str = self._prepared
            self._prepared = None
        else:
            # Meanwhile calls begin with the old one, learn that it is replaced, and wait here.
            made = await self._made_or_reason(current)
        old, self._queries = self._queries, None if isinstance(made, str) else QueryCache(made)
        self._facts = current
        if old is not None:
            self._retire(old.embedder)
        if self._queries is not None:
            log.info("the database's model is followed", model=current.model_id, dimensions=current.dimensions)
        elif old is not None:
            log.error(
                "the database was moved to a model that this server cannot use", model=current.model_id, why=str(made)
            )

    async def _prepare(self, upcoming: RecordedModel | None) -> None:
        if self._prepared is not None and (upcoming is None or not upcoming.made_by(self._prepared)):
            self._retire(self._prepared)
            self._prepared = None
        if upcoming is None or self._prepared is not None:
            return
        _, said = self._failed.get(upcoming, (0.0, ""))
        made = await self._made_or_reason(upcoming)
        if not isinstance(made, str):
            self._prepared = made
        elif made != said:
            log.warning(
                "the database is being moved to a model that this server cannot use", model=upcoming.model_id, why=made
            )

    async def _made_or_reason(self, model: RecordedModel) -> Embedder | str:
        now = asyncio.get_running_loop().time()
        failed_at, said = self._failed.get(model, (now, ""))
        if said and now - failed_at < _SECONDS_UNTIL_TRIED_AGAIN:
            return said
        try:
            embedder = await self._make(model)
        except (ModelNotUsable, EmbedderUnavailable) as error:
            self._failed[model] = (now, str(error))
            return str(error)
        self._failed.pop(model, None)
        self._made.append(embedder)
        return embedder

    def _retire(self, embedder: Embedder) -> None:
        # The first one is not ours to close.
        if embedder not in self._made:
            return

        async def close_later() -> None:
            await asyncio.sleep(_RETIREMENT_SECONDS)
            self._made.remove(embedder)
            await embedder.close()

        task = asyncio.create_task(close_later())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
