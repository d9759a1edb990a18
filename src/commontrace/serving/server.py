"""Server lifecycle: start, background tasks, drain and graceful shutdown (ADR 0046)."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import structlog

from commontrace.core.cleanup import run_cleanup
from commontrace.core.encoding.worker import run_encoding
from commontrace.core.events.notifier import run_notifier
from commontrace.core.events.watch import CHECKPOINT_SECONDS
from commontrace.rpc import services
from commontrace.rpc.health.readiness import Readiness
from commontrace.rpc.server_options import OPTIONS
from commontrace.serving import process_limits
from commontrace.serving.bootstrap import Foundation
from commontrace.serving.components import Components
from commontrace.serving.interceptor_chain import interceptor_chain
from commontrace.serving.listening import (
    drain_seconds,
    is_loopback,
    is_open_to_network,
    refuse_open_address,
    refuse_taken_address,
)
from commontrace.serving.not_ready import NotReady
from commontrace.serving.service_registration import add_services
from commontrace.serving.tls import ServedCertificate
from commontrace.settings import Settings

log = structlog.get_logger()

_CANCEL_SECONDS = 5.0

BackgroundTask = asyncio.Task[None]


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

    With `shares_port`, other processes of this user may serve on the same port: their supervisor has reserved it
    (ADR 0021). Leaving the block turns health to NOT_SERVING, takes calls until load balancers have seen it or `hurry`
    is set, refuses new calls, lets those in progress finish within the grace, then cancels them. An exception skips
    the drain.
    """
    refuse_open_address(settings)
    _warn_of_exposure(settings)
    certificate = ServedCertificate.of_settings(settings)
    components = Components.create(settings, foundation, checkpoint_seconds=checkpoint_seconds)
    server = grpc.aio.server(
        interceptors=interceptor_chain(components),
        # Without SO_REUSEPORT, a second server on the port fails instead of sharing its traffic unnoticed.
        options=[
            ("grpc.so_reuseport", int(shares_port)),
            ("grpc.max_allowed_incoming_connections", process_limits.connections_to_serve()),
            *OPTIONS,
        ],
    )
    add_services(server, components)
    address = _listen(server, settings, certificate, shares_port=shares_port)
    readiness = Readiness(components.health, components.database, components.model, services.NAMES)
    await readiness.check()
    with components.monitoring.running(
        database=components.database,
        model=components.model,
        calls_in_progress=lambda: components.calls.count,
        is_ready=lambda: readiness.is_serving and not components.shutdown.has_begun,
    ) as monitoring_loops:
        background = _start([*monitoring_loops, *_background_loops(components, readiness, certificate)])
        await server.start()
        try:
            yield address
            components.health.enter_graceful_shutdown()
            with suppress(TimeoutError):
                await asyncio.wait_for((hurry or asyncio.Event()).wait(), drain_seconds(settings))
        finally:
            await _stop(server, components, background)


def _listen(
    server: grpc.aio.Server, settings: Settings, certificate: ServedCertificate | None, *, shares_port: bool
) -> str:
    """Binds the server to its address and returns that with the port that it has. Raises NotReady."""
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
    return f"{settings.listen_address.rpartition(':')[0]}:{port}"


def _background_loops(
    components: Components, readiness: Readiness, certificate: ServedCertificate | None
) -> list[Coroutine[Any, Any, None]]:
    settings, database, model = components.settings, components.database, components.model
    loops = [
        readiness.run_checks(),
        model.run_refresh(),
        run_cleanup(database),
        run_notifier(database),
        components.follower.run(),
        components.invalidation.run(),
        components.keys.run_usage_recorder(),
        process_limits.run_memory_trimmer(),
    ]
    if certificate is not None:
        loops.append(certificate.run_reload())
    if settings.encoding_worker:
        loops.append(run_encoding(database, lambda: model.embedder, lease_seconds=settings.encoding_lease_seconds))
    return loops


def _start(loops: Sequence[Coroutine[Any, Any, None]]) -> list[BackgroundTask]:
    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(_log_failure)
    return tasks


async def _stop(server: grpc.aio.Server, components: Components, background: Sequence[BackgroundTask]) -> None:
    for task in background:
        task.cancel()
    components.health.enter_graceful_shutdown()
    components.shutdown.begin()
    components.health.end_watches()
    components.standard_services.end_idle_streams()
    # Sends GOAWAY. gRPC itself cancels calls that it has not handed on. Returns when every other call has its whole
    # answer, or at the end of the grace.
    await server.stop(components.settings.stop_grace_seconds)
    # A call that gRPC has cancelled may still have its connection to the database.
    with suppress(TimeoutError):
        await asyncio.wait_for(components.calls.wait_for_none(), _CANCEL_SECONDS)
    # Last: a commit on a Postgres that does not answer may take as long as those calls.
    await asyncio.gather(*background, return_exceptions=True)
    await components.keys.save_usage()
    await components.model.close()


def _warn_of_exposure(settings: Settings) -> None:
    if is_open_to_network(settings):
        log.warning(
            "OPEN TO EVERYBODY: nobody is authenticated,"
            " whoever reaches this port may read and write in anybody's name",
            address=settings.listen_address,
        )
    if settings.tls_cert_file is None and not is_loopback(settings.listen_address):
        log.warning("NO TLS: what is sent to this port can be read and changed on its way")


def _log_failure(task: BackgroundTask) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("a part of the server has failed: restart it", exc_info=task.exception())
