"""The one place where the server's objects meet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from commontrace.bootstrap import Foundation, NotReady
from commontrace.core import limits
from commontrace.core.announcing import keep_announcing
from commontrace.core.encoding_worker import keep_encoding
from commontrace.core.expiry import keep_forgetting
from commontrace.core.following import Following
from commontrace.core.watching import CHECKPOINT_SECONDS, Watching
from commontrace.embeddings.choosing import embedder_of
from commontrace.embeddings.served_model import ServedModel
from commontrace.listening import is_loopback, refuse_open_address
from commontrace.open_files import connections_to_serve
from commontrace.rpc.calls_in_progress import CallsInProgress
from commontrace.rpc.health import Readiness
from commontrace.rpc.importing import Importer
from commontrace.rpc.interceptors.authentication import AuthenticationInterceptor
from commontrace.rpc.interceptors.guard import GuardInterceptor
from commontrace.rpc.interceptors.logging import LoggingInterceptor
from commontrace.rpc.interceptors.receiving import ReceivingInterceptor
from commontrace.rpc.interceptors.validation import ValidationInterceptor
from commontrace.rpc.reflection import add_reflection
from commontrace.rpc.scopes import required_scopes
from commontrace.rpc.stopping import Stopping
from commontrace.rpc.tag_servicer import TagServicer
from commontrace.rpc.trace_servicer import TraceServicer
from commontrace.rpc.validation.validator import Validator
from commontrace.rpc.vote_servicer import VoteServicer
from commontrace.rpc.writes import Writes
from commontrace.settings import Settings
from commontrace.storage.database import Database
from commontrace.v1 import (
    tag_service_pb2,
    tag_service_pb2_grpc,
    trace_service_pb2,
    trace_service_pb2_grpc,
    vote_service_pb2,
    vote_service_pb2_grpc,
)

log = structlog.get_logger()

_FILES = (trace_service_pb2.DESCRIPTOR, vote_service_pb2.DESCRIPTOR, tag_service_pb2.DESCRIPTOR)
_SERVICES = tuple(service.full_name for file in _FILES for service in file.services_by_name.values())

_OPTIONS = [
    # Requests up to four times the limit get in, so that they can be refused with a reason.
    ("grpc.max_receive_message_length", 4 * limits.REQUEST_BYTES),
    ("grpc.max_send_message_length", 2 * limits.RESPONSE_BYTES),
    # Without a bound, one connection that opens and resets streams starves the others.
    ("grpc.max_concurrent_streams", 100),
    ("grpc.max_metadata_size", 8192),
    ("grpc.absolute_max_metadata_size", 16384),
    ("grpc.server_handshake_timeout_ms", 5000),
    # Clients connect again by themselves; who only wants to hold a connection has to come back for it.
    ("grpc.max_connection_idle_ms", 300_000),
    # The defaults notice a dead peer after two hours and punish clients that ping more often than every five minutes.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
]


_CANCEL_SECONDS = 5.0


@asynccontextmanager
async def serving(
    settings: Settings,
    foundation: Foundation,
    *,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    shares_port: bool = False,
) -> AsyncIterator[str]:
    """Serves as long as the block runs and yields the address. Raises NotReady.

    With `shares_port`, other processes of this user may serve on the same port: their supervisor has reserved it.
    Leaving the block turns health to NOT_SERVING, lets calls in progress finish within the grace, then cancels them.
    """
    refuse_open_address(settings)
    if not is_loopback(settings.listen_address):
        log.warning(
            "OPEN TO EVERYBODY: nobody is authenticated,"
            " whoever reaches this port may read and write in anybody's name",
            address=settings.listen_address,
        )
    calls, stopping = CallsInProgress(), Stopping()
    database = foundation.database
    model = ServedModel(
        foundation.embedder,
        recorded=lambda: database.read(lambda reading: reading.embedding_models.both()),
        make=lambda recorded: embedder_of(recorded, settings),
    )
    server = grpc.aio.server(
        # Outermost first: logging sees every call's final code, the guard every exception.
        interceptors=(
            ReceivingInterceptor(),
            LoggingInterceptor(calls),
            GuardInterceptor(),
            AuthenticationInterceptor(),
            ValidationInterceptor(Validator(model)),
        ),
        # A second server on the same port must fail instead of sharing the traffic in silence.
        options=[
            ("grpc.so_reuseport", int(shares_port)),
            ("grpc.max_allowed_incoming_connections", connections_to_serve()),
            *_OPTIONS,
        ],
    )
    required_scopes(*_FILES)
    following = Following(database)
    watching = Watching(database, following, checkpoint_seconds=checkpoint_seconds)
    _add_servicers(server, settings, database, model, stopping, watching)
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    if settings.reflection:
        add_reflection(server, (*_SERVICES, health.SERVICE_NAME))

    host = settings.listen_address.rpartition(":")[0]
    try:
        port = server.add_insecure_port(settings.listen_address)
    except RuntimeError as error:
        raise NotReady(f"cannot listen on {settings.listen_address}; is another server running there?") from error
    readiness = Readiness(health_servicer, database, model, _SERVICES)
    await readiness.check()
    await health_servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    lasting = [
        readiness.watch(),
        model.follow(),
        keep_forgetting(database),
        keep_announcing(database),
        following.run(),
    ]
    if settings.encoding_worker:
        lasting.append(keep_encoding(database, lambda: model.embedder, lease_seconds=settings.encoding_lease_seconds))
    background = [asyncio.create_task(work) for work in lasting]
    await server.start()
    try:
        yield f"{host}:{port}"
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await health_servicer.enter_graceful_shutdown()
        stopping.begin()
        await _stop(server, calls, settings.stop_grace_seconds)
        await model.close()


def _add_servicers(
    server: grpc.aio.Server,
    settings: Settings,
    database: Database,
    model: ServedModel,
    stopping: Stopping,
    watching: Watching,
) -> None:
    threshold = settings.validation_threshold
    writes = Writes(database, model)
    # Half of the connections for writes are left to others.
    at_a_time = max(1, settings.database_pool_size // 2)
    importer = Importer(database, model, stopping, at_a_time=at_a_time)
    traces = TraceServicer(database, model, writes, importer, stopping, watching, validation_threshold=threshold)
    votes = VoteServicer(database, writes, validation_threshold=threshold)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(traces, server)
    vote_service_pb2_grpc.add_VoteServiceServicer_to_server(votes, server)
    tag_service_pb2_grpc.add_TagServiceServicer_to_server(TagServicer(database, writes), server)


async def _stop(server: grpc.aio.Server, calls: CallsInProgress, grace: float) -> None:
    stopping = asyncio.create_task(server.stop(grace))
    with suppress(TimeoutError):
        await asyncio.wait_for(calls.wait_for_none(), grace)
    # What is left are health watches, or calls beyond the grace.
    await server.stop(None)
    await stopping
    # gRPC is done with a cancelled call before the call is done with its database connection.
    with suppress(TimeoutError):
        await asyncio.wait_for(calls.wait_for_none(), _CANCEL_SECONDS)
