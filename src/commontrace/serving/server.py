"""The one place where the server's objects meet."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress

import grpc
import structlog
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME

from commontrace.core.cleanup import run_cleanup
from commontrace.core.encoding.worker import run_encoding
from commontrace.core.events.follower import EventFollower
from commontrace.core.events.notifier import run_notifier
from commontrace.core.events.watch import CHECKPOINT_SECONDS, EventWatch
from commontrace.core.keys.cache import KeyCache
from commontrace.core.keys.quotas import Quotas
from commontrace.core.tags.name_quota import TagNameQuota
from commontrace.domain.keys.quotas import READS, WRITES
from commontrace.domain.scopes import Scope
from commontrace.embeddings.active_model import ActiveModel
from commontrace.embeddings.embedder import Embedder
from commontrace.embeddings.recorded_model import RecordedModel
from commontrace.rpc import services
from commontrace.rpc.calls_in_progress import CallsInProgress
from commontrace.rpc.health.readiness import Readiness
from commontrace.rpc.health.service import HealthService
from commontrace.rpc.idempotency import IdempotentWrites
from commontrace.rpc.interceptors.admission import AdmissionInterceptor
from commontrace.rpc.interceptors.authentication import AuthenticationInterceptor
from commontrace.rpc.interceptors.backpressure import SendingInterceptor
from commontrace.rpc.interceptors.deferred_receive import DeferringInterceptor
from commontrace.rpc.interceptors.error_mapping import GuardInterceptor
from commontrace.rpc.interceptors.logging import LoggingInterceptor
from commontrace.rpc.interceptors.metadata_size import MetadataSizeInterceptor
from commontrace.rpc.interceptors.quota import QuotaInterceptor
from commontrace.rpc.interceptors.receive import ReceivingInterceptor
from commontrace.rpc.interceptors.standard_services import StandardServicesInterceptor
from commontrace.rpc.interceptors.validation import ValidationInterceptor
from commontrace.rpc.reflection import add_reflection
from commontrace.rpc.request_receiver import RequestReceiver
from commontrace.rpc.scopes import required_scopes
from commontrace.rpc.server_options import OPTIONS
from commontrace.rpc.servicers.tags import TagServicer
from commontrace.rpc.servicers.traces import TraceServicer
from commontrace.rpc.servicers.votes import VoteServicer
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.rpc.streams.imports import Importer
from commontrace.rpc.validation.validator import Validator
from commontrace.serving import process_limits as memory
from commontrace.serving.bootstrap import Foundation, NotReady
from commontrace.serving.embedder_factory import embedder_of
from commontrace.serving.listening import (
    drain_seconds,
    is_loopback,
    is_open_to_strangers,
    refuse_open_address,
    refuse_taken_address,
)
from commontrace.serving.monitoring.monitoring import Monitoring
from commontrace.serving.open_files import connections_to_serve
from commontrace.serving.tls import ServedCertificate
from commontrace.settings import Settings
from commontrace.sharing.turns import FairLimiter
from commontrace.storage.database import Database
from commontrace.v1 import tag_service_pb2_grpc, trace_service_pb2_grpc, vote_service_pb2_grpc

log = structlog.get_logger()

_CANCEL_SECONDS = 5.0


@asynccontextmanager
async def serving(
    settings: Settings,
    foundation: Foundation,
    *,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    shares_port: bool = False,
    hurry: asyncio.Event | None = None,
) -> AsyncIterator[str]:
    """Serves as long as the block runs and yields the address. Raises NotReady.

    With `shares_port`, other processes of this user may serve on the same port: their supervisor has reserved it.
    Leaving the block turns health to NOT_SERVING, takes calls until whoever spreads them has seen it or `hurry` is
    set, refuses those that have not begun, lets those in progress finish within the grace, then cancels them. An
    exception skips the wait.
    """
    refuse_open_address(settings)
    _warn_of_strangers(settings)
    certificate = ServedCertificate.of_settings(settings)
    scopes = required_scopes(*services.FILES)
    calls, stopping = CallsInProgress(), ShutdownSignal()
    database, monitoring = foundation.database, Monitoring(settings)
    keys, standard_services = KeyCache(database), StandardServicesInterceptor()
    model = ActiveModel(
        monitoring.observed(foundation.embedder),
        recorded=lambda: database.read(lambda reading: reading.embedding_models.both()),
        make=lambda recorded: _made(recorded, settings, monitoring),
    )
    server = grpc.aio.server(
        # Outermost first: logging sees every call's final code, the guard every exception. Nothing is received before
        # the call is authenticated and admitted, by its metadata.
        interceptors=(
            DeferringInterceptor(),
            standard_services,
            LoggingInterceptor(calls, monitoring.observers),
            GuardInterceptor(),
            MetadataSizeInterceptor(),
            AuthenticationInterceptor(keys, scopes, requires_key=settings.authentication == "keys"),
            AdmissionInterceptor(
                scopes,
                services.LASTING,
                stopping,
                most_calls=settings.max_calls,
                most_streams=settings.max_streams,
            ),
            ReceivingInterceptor(RequestReceiver()),
            *_quotas(settings, scopes, database),
            ValidationInterceptor(Validator(model)),
            SendingInterceptor(services.WAITING),
        ),
        # A second server on the same port must fail instead of sharing the traffic in silence.
        options=[
            ("grpc.so_reuseport", int(shares_port)),
            ("grpc.max_allowed_incoming_connections", connections_to_serve()),
            *OPTIONS,
        ],
    )
    following = EventFollower(database)
    watching = EventWatch(database, following, checkpoint_seconds=checkpoint_seconds)
    _add_servicers(server, settings, database, model, stopping, watching)
    health = HealthService()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        add_reflection(server, (*services.NAMES, SERVICE_NAME))

    host = settings.listen_address.rpartition(":")[0]
    try:
        port = (
            server.add_insecure_port(settings.listen_address)
            if certificate is None
            else server.add_secure_port(settings.listen_address, certificate.credentials)
        )
    except RuntimeError as error:
        if not shares_port:
            refuse_taken_address(settings)
        raise NotReady(f"gRPC cannot listen on {settings.listen_address}: {error}") from error
    readiness = Readiness(health, database, model, services.NAMES)
    await readiness.check()
    telling = ExitStack()
    watched = telling.enter_context(
        monitoring.running(
            database=database,
            model=model,
            calls_in_progress=lambda: calls.count,
            is_ready=lambda: readiness.is_serving and not stopping.has_begun,
        )
    )
    lasting = [
        *watched,
        readiness.watch(),
        model.follow(),
        run_cleanup(database),
        run_notifier(database),
        following.run(),
        keys.follow(),
        keys.run_usage_recorder(),
        memory.run_memory_trimmer(),
    ]
    if certificate is not None:
        lasting.append(certificate.run_reload())
    if settings.encoding_worker:
        lasting.append(run_encoding(database, lambda: model.embedder, lease_seconds=settings.encoding_lease_seconds))
    background = [asyncio.create_task(work) for work in lasting]
    for task in background:
        task.add_done_callback(_tell_of_failure)
    await server.start()
    try:
        yield f"{host}:{port}"
        health.leave()
        with suppress(TimeoutError):
            await asyncio.wait_for((hurry or asyncio.Event()).wait(), drain_seconds(settings))
    finally:
        for task in background:
            task.cancel()
        health.leave()
        stopping.begin()
        health.end()
        standard_services.end_idle()
        # Asks every client to go elsewhere (GOAWAY). gRPC itself ends calls that it has not handed on, as CANCELLED
        # (ADR 0046). Returns when every other call has its whole answer, or at the end of the grace.
        await server.stop(settings.stop_grace_seconds)
        # gRPC is done with a cancelled call before the call is done with its database connection.
        with suppress(TimeoutError):
            await asyncio.wait_for(calls.wait_for_none(), _CANCEL_SECONDS)
        # Here, because what is being committed to a Postgres that does not answer may take as long as calls may.
        await asyncio.gather(*background, return_exceptions=True)
        await keys.note_use()
        await model.close()
        telling.close()


async def _made(recorded: RecordedModel, settings: Settings, monitoring: Monitoring) -> Embedder:
    return monitoring.observed(await embedder_of(recorded, settings))


def _warn_of_strangers(settings: Settings) -> None:
    if is_open_to_strangers(settings):
        log.warning(
            "OPEN TO EVERYBODY: nobody is authenticated,"
            " whoever reaches this port may read and write in anybody's name",
            address=settings.listen_address,
        )
    if settings.tls_cert_file is None and not is_loopback(settings.listen_address):
        log.warning("NO TLS: what is sent to this port can be read and changed on its way")


def _quotas(
    settings: Settings, scopes: Mapping[str, Scope], database: Database
) -> Sequence[grpc.aio.ServerInterceptor]:
    limits = {READS: settings.quota_reads_per_minute, WRITES: settings.quota_writes_per_minute}
    set_ones = {kind: limit for kind, limit in limits.items() if limit}
    # Without quotas, calls pay nothing for them.
    return [QuotaInterceptor(Quotas(database, set_ones), scopes)] if set_ones else []


def _add_servicers(
    server: grpc.aio.Server,
    settings: Settings,
    database: Database,
    model: ActiveModel,
    stopping: ShutdownSignal,
    watching: EventWatch,
) -> None:
    threshold = settings.validation_threshold
    tag_names = TagNameQuota(settings.quota_tag_names_per_day)
    writes = IdempotentWrites(database, model, tag_names)
    # Half of the connections for writes are left to others.
    turns = FairLimiter(max(1, settings.database_pool_size // 2))
    importer = Importer(database, model, stopping, tag_names, turns)
    traces = TraceServicer(database, model, writes, importer, stopping, watching, validation_threshold=threshold)
    votes = VoteServicer(database, writes, validation_threshold=threshold)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(traces, server)
    vote_service_pb2_grpc.add_VoteServiceServicer_to_server(votes, server)
    tag_service_pb2_grpc.add_TagServiceServicer_to_server(TagServicer(database, writes), server)


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("a part of the server has failed: restart it", exc_info=task.exception())
