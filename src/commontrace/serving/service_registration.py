"""Service registration: the servicers of a server, health and reflection."""

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME

from commontrace.core.tags.name_quota import TagNameQuota
from commontrace.fair_sharing.fair_limiter import FairLimiter
from commontrace.rpc import services
from commontrace.rpc.idempotency import IdempotentWrites
from commontrace.rpc.reflection import add_reflection
from commontrace.rpc.servicers.namespaces import NamespaceServicer
from commontrace.rpc.servicers.tags import TagServicer
from commontrace.rpc.servicers.traces import TraceServicer
from commontrace.rpc.servicers.votes import VoteServicer
from commontrace.rpc.streams.imports import Importer
from commontrace.serving.components import Components
from commontrace.v1 import (
    namespace_service_pb2_grpc,
    tag_service_pb2_grpc,
    trace_service_pb2_grpc,
    vote_service_pb2_grpc,
)


def add_services(server: grpc.aio.Server, components: Components) -> None:
    """Registers every service with the server; reflection where the settings ask for it."""
    settings, database, model = components.settings, components.database, components.model
    tag_names = TagNameQuota(settings.quota_tag_names_per_day)
    access = components.access
    writes = IdempotentWrites(database, model, tag_names, access)
    # Imports get half of the connections for writes: each of their messages is one transaction.
    import_limiter = FairLimiter(max(1, settings.database_pool_size // 2))
    importer = Importer(database, model, components.shutdown, tag_names, import_limiter, access)
    threshold = settings.validation_threshold
    traces = TraceServicer(
        database,
        model,
        writes,
        access,
        importer,
        components.shutdown,
        components.event_watch,
        validation_threshold=threshold,
    )
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(traces, server)
    votes = VoteServicer(database, writes, access, validation_threshold=threshold)
    vote_service_pb2_grpc.add_VoteServiceServicer_to_server(votes, server)
    tag_service_pb2_grpc.add_TagServiceServicer_to_server(TagServicer(database, writes, access), server)
    namespaces = NamespaceServicer(database, writes, access)
    namespace_service_pb2_grpc.add_NamespaceServiceServicer_to_server(namespaces, server)
    health_pb2_grpc.add_HealthServicer_to_server(components.health, server)
    if settings.reflection:
        add_reflection(server, (*services.NAMES, SERVICE_NAME))
