"""Active model: the embedder of the database's current model, also after the database moved to another (ADR 0020)."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from commontrace.embeddings.embedder import Embedder, EmbedderUnavailable, ModelNotUsable
from commontrace.embeddings.model import Model, RecordedModel
from commontrace.embeddings.query_cache import QueryCache

CurrentAndNext = tuple[RecordedModel, RecordedModel | None]

log = structlog.get_logger()

_PERIOD_SECONDS = 1.0
# Calls that began with a replaced model may finish with it; a request to a hosted one may take so long.
_RETIREMENT_SECONDS = 60.0
# A refused key or missing files seldom change from second to second.
_RETRY_SECONDS = 15.0


class ActiveModel:
    """Embedder of the database's current model, replaced after a swap. A call that has got one keeps it until it ends.

    `embedder` is the first one; its owner closes it, not this class. `load_recorded` reads the database's current model
    and the one that it is being moved to; `create_embedder` returns a model's embedder, or raises ModelNotUsable or
    EmbedderUnavailable. Belongs to one event loop.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        load_recorded: Callable[[], Awaitable[CurrentAndNext]],
        create_embedder: Callable[[RecordedModel], Awaitable[Embedder]],
    ) -> None:
        self._queries: QueryCache | None = QueryCache(embedder)
        # A copy: the embedder may be wrapped in others, each of which searches would ask.
        self._info: Model = RecordedModel(
            model_id=embedder.model_id,
            model_version=embedder.model_version,
            dimensions=embedder.dimensions,
            is_lexical=embedder.is_lexical,
        )
        self._load_recorded = load_recorded
        self._create_embedder = create_embedder
        self._refreshing = asyncio.Lock()
        self._prepared: Embedder | None = None
        # When creating an embedder failed, by the loop's clock, and why.
        self._failed: dict[RecordedModel, tuple[float, str]] = {}
        self._created: list[Embedder] = []
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def info(self) -> Model:
        """Id, version, dimensions and kind of the model, also while it cannot be used."""
        return self._info

    @property
    def queries(self) -> QueryCache:
        """The embedder behind its query cache. Raises EmbedderUnavailable if these settings have no such model."""
        if self._queries is None:
            raise EmbedderUnavailable(
                f"this server's settings do not give {self._info.model_id}, which the database was moved to;"
                " its log tells which settings do"
            )
        return self._queries

    @property
    def embedder(self) -> Embedder:
        """The embedder. Raises EmbedderUnavailable if these settings have no such model."""
        return self.queries.embedder

    @property
    def is_usable(self) -> bool:
        """True if there is an embedder of the database's model."""
        return self._queries is not None

    async def run_refresh(self) -> None:
        """Runs until cancelled: refreshes every second, and creates the next model's embedder ahead of its swap."""
        while True:
            await asyncio.sleep(_PERIOD_SECONDS)
            try:
                await self._prepare(await self.refresh())
            except Exception as error:  # noqa: BLE001 - whatever it is, the next refresh may succeed
                log.debug("the recorded model is not known", error=str(error) or type(error).__name__)

    async def is_current(self, queries: QueryCache) -> bool:
        """Tells whether the database's model is that of the embedder, and refreshes if not. Raises as `refresh`."""
        # Without the lock of `refresh`: searches with few hits ask all the time.
        current, _ = await self._load_recorded()
        if current.made_by(queries.embedder):
            return True
        await self.refresh()
        return False

    async def refresh(self) -> RecordedModel | None:
        """Reads the recorded model, switches to it, and returns the next one. Raises what the database raises."""
        async with self._refreshing:
            current, upcoming = await self._load_recorded()
            if self._queries is None or not current.made_by(self._queries.embedder):
                await self._replace(current)
            return upcoming

    async def close(self) -> None:
        """Closes every embedder that was created here."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        for embedder in self._created:
            await embedder.close()

    async def _replace(self, current: RecordedModel) -> None:
        if self._prepared is not None and current.made_by(self._prepared):
            created: Embedder | str = self._prepared
            self._prepared = None
        else:
            # Calls that begin meanwhile with the old one learn that it is replaced, and wait for the lock.
            created = await self._created_or_reason(current)
        old, self._queries = self._queries, None if isinstance(created, str) else QueryCache(created)
        self._info = current
        if old is not None:
            self._retire(old.embedder)
        if self._queries is not None:
            log.info("the database's model is followed", model=current.model_id, dimensions=current.dimensions)
        elif old is not None:
            log.error(
                "the database was moved to a model that this server cannot use",
                model=current.model_id,
                why=str(created),
            )

    async def _prepare(self, upcoming: RecordedModel | None) -> None:
        if self._prepared is not None and (upcoming is None or not upcoming.made_by(self._prepared)):
            self._retire(self._prepared)
            self._prepared = None
        if upcoming is None or self._prepared is not None:
            return
        _, logged = self._failed.get(upcoming, (0.0, ""))
        created = await self._created_or_reason(upcoming)
        if not isinstance(created, str):
            self._prepared = created
        elif created != logged:
            log.warning(
                "the database is being moved to a model that this server cannot use",
                model=upcoming.model_id,
                why=created,
            )

    async def _created_or_reason(self, model: RecordedModel) -> Embedder | str:
        now = asyncio.get_running_loop().time()
        failed_at, reason = self._failed.get(model, (now, ""))
        if reason and now - failed_at < _RETRY_SECONDS:
            return reason
        try:
            embedder = await self._create_embedder(model)
        except (ModelNotUsable, EmbedderUnavailable) as error:
            self._failed[model] = (now, str(error))
            return str(error)
        self._failed.pop(model, None)
        self._created.append(embedder)
        return embedder

    def _retire(self, embedder: Embedder) -> None:
        # The first embedder belongs to its owner.
        if embedder not in self._created:
            return

        async def close_later() -> None:
            await asyncio.sleep(_RETIREMENT_SECONDS)
            self._created.remove(embedder)
            await embedder.close()

        task = asyncio.create_task(close_later())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
