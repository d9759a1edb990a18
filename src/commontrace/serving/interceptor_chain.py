"""Interceptor chain: the order in which every call passes the interceptors of a server (ADR 0029)."""

from collections.abc import Mapping, Sequence

import grpc

from commontrace.core.keys.quotas import Quotas
from commontrace.domain.keys.quotas import READS, WRITES
from commontrace.domain.scopes import Scope
from commontrace.rpc import services
from commontrace.rpc.interceptors.admission import AdmissionInterceptor
from commontrace.rpc.interceptors.authentication import AuthenticationInterceptor
from commontrace.rpc.interceptors.backpressure import BackpressureInterceptor
from commontrace.rpc.interceptors.deferred_receive import DeferredReceiveInterceptor
from commontrace.rpc.interceptors.error_mapping import ErrorMappingInterceptor
from commontrace.rpc.interceptors.logging import LoggingInterceptor
from commontrace.rpc.interceptors.metadata_size import MetadataSizeInterceptor
from commontrace.rpc.interceptors.quota import QuotaInterceptor
from commontrace.rpc.interceptors.receive import ReceiveInterceptor
from commontrace.rpc.interceptors.validation import ValidationInterceptor
from commontrace.rpc.request_receiver import RequestReceiver
from commontrace.rpc.scopes import moderator_scopes, required_scopes
from commontrace.rpc.validation.validator import Validator
from commontrace.serving.components import Components
from commontrace.settings import Settings
from commontrace.storage.database import Database


def interceptor_chain(components: Components) -> Sequence[grpc.aio.ServerInterceptor]:
    """Returns the interceptors, outermost first. Raises ScopeUndeclared.

    Logging sees the final code of every call, error mapping every exception. No message is received before its call is
    authenticated and admitted by its metadata.
    """
    settings, scopes = components.settings, required_scopes(*services.FILES)
    return (
        DeferredReceiveInterceptor(),
        components.standard_services,
        LoggingInterceptor(components.calls, components.monitoring.observers),
        ErrorMappingInterceptor(),
        MetadataSizeInterceptor(),
        AuthenticationInterceptor(
            components.keys,
            components.access,
            scopes,
            moderator_scopes(*services.FILES),
            requires_key=settings.authentication == "keys",
        ),
        AdmissionInterceptor(
            scopes,
            services.LASTING,
            components.shutdown,
            max_calls=settings.max_calls,
            max_streams=settings.max_streams,
        ),
        ReceiveInterceptor(RequestReceiver()),
        *_quotas(settings, scopes, components.database),
        ValidationInterceptor(Validator(components.model)),
        BackpressureInterceptor(services.WAITING),
    )


def _quotas(
    settings: Settings, scopes: Mapping[str, Scope], database: Database
) -> Sequence[grpc.aio.ServerInterceptor]:
    per_minute = {READS: settings.quota_reads_per_minute, WRITES: settings.quota_writes_per_minute}
    limits = {kind: limit for kind, limit in per_minute.items() if limit}
    # Without a quota, calls do not pay for the interceptor.
    return [QuotaInterceptor(Quotas(database, limits), scopes)] if limits else []
