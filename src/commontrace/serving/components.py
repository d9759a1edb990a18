"""Components of one server: the objects that its interceptors, servicers and background tasks share."""

from dataclasses import dataclass
from typing import Self

from commontrace.core.events.follower import EventFollower
from commontrace.core.events.watch import EventWatch
from commontrace.core.invalidation import Invalidation
from commontrace.core.keys.cache import KeyCache
from commontrace.core.namespaces.access_cache import NamespaceAccessCache
from commontrace.embeddings.active_model import ActiveModel
from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.model import RecordedModel
from commontrace.rpc.access import CallAccess
from commontrace.rpc.calls_in_progress import CallsInProgress
from commontrace.rpc.health.service import HealthService
from commontrace.rpc.interceptors.standard_services import StandardServicesInterceptor
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.serving.bootstrap import Foundation
from commontrace.serving.embedder_factory import embedder_of
from commontrace.serving.monitoring.setup import Monitoring
from commontrace.settings import Settings
from commontrace.storage.database import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class Components:
    """The shared objects of one server. All of them belong to its event loop."""

    settings: Settings
    database: Database
    monitoring: Monitoring
    model: ActiveModel
    keys: KeyCache
    access: CallAccess
    invalidation: Invalidation
    follower: EventFollower
    event_watch: EventWatch
    calls: CallsInProgress
    shutdown: ShutdownSignal
    health: HealthService
    standard_services: StandardServicesInterceptor

    @classmethod
    def create(cls, settings: Settings, foundation: Foundation, *, checkpoint_seconds: float) -> Self:
        """Returns new components on the foundation, which stays the caller's to close. Raises NotReady."""
        database, monitoring = foundation.database, Monitoring(settings)
        follower, keys, accesses = EventFollower(database), KeyCache(database), NamespaceAccessCache(database)
        return cls(
            settings=settings,
            database=database,
            monitoring=monitoring,
            model=_active_model(settings, foundation, monitoring),
            keys=keys,
            access=CallAccess(accesses),
            invalidation=Invalidation(database, keys, accesses),
            follower=follower,
            event_watch=EventWatch(database, follower, checkpoint_seconds=checkpoint_seconds),
            calls=CallsInProgress(),
            shutdown=ShutdownSignal(),
            health=HealthService(),
            standard_services=StandardServicesInterceptor(),
        )


def _active_model(settings: Settings, foundation: Foundation, monitoring: Monitoring) -> ActiveModel:
    database = foundation.database

    async def create(recorded: RecordedModel) -> Embedder:
        return monitoring.observed(await embedder_of(recorded, settings))

    return ActiveModel(
        monitoring.observed(foundation.embedder),
        load_recorded=lambda: database.read(lambda reading: reading.embedding_models.get_current_and_next()),
        create_embedder=create,
    )
