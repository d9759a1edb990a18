"""Import streams: one message after another, each acknowledged when its items are durable (ADR 0018)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from commontrace.core.imports import service as import_service
from commontrace.core.keys import cache as key_cache
from commontrace.core.tags.name_quota import TagNameQuota
from commontrace.domain.errors import ModelReplaced, ScopeMissing
from commontrace.domain.imports.decisions import Item, Outcome
from commontrace.domain.scopes import Scope
from commontrace.embeddings.model import Model
from commontrace.fair_sharing.fair_limiter import FairLimiter
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import current_caller, require_valid_key
from commontrace.rpc.messages import imports
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.rpc.validation import import_rules
from commontrace.rpc.validation.invalid_request import InvalidRequest
from commontrace.storage.database import Database
from commontrace.v1 import trace_import_pb2

# Items, and their bytes, that are validated before the event loop runs other calls.
_SLICE_ITEMS = 25
_SLICE_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class _Validated:
    """A message: its valid items, and the errors of the others by sequence, both as of one model."""

    request: trace_import_pb2.ImportTracesRequest
    model: Model
    items: list[Item] = field(default_factory=list)
    errors: dict[int, Outcome] = field(default_factory=dict)


class CurrentModel(Protocol):
    """The model of the stored vectors, which may be replaced (ADR 0020)."""

    @property
    def info(self) -> Model:
        """The model as it is known."""

    async def refresh(self) -> object:
        """Reads the recorded model."""


class Importer:
    """Executes the imports of a server.

    `limiter` bounds the messages that are stored at a time: beyond it imports wait, and their senders with them, so
    that other writes find connections.
    """

    def __init__(
        self,
        database: Database,
        model: CurrentModel,
        shutdown: ShutdownSignal,
        tag_names: TagNameQuota,
        limiter: FairLimiter,
        access: CallAccess,
    ) -> None:
        self._database = database
        self._access = access
        self._model = model
        self._shutdown = shutdown
        self._tag_names = tag_names
        self._limiter = limiter

    async def acknowledge(
        self, requests: AsyncIterator[trace_import_pb2.ImportTracesRequest]
    ) -> AsyncGenerator[trace_import_pb2.ImportTracesResponse]:
        """Yields the response to each message.

        While one message is stored, the next one is received and validated, and no more: flow control holds the sender
        back. Raises InvalidRequest, NamespaceNotFound, NamespaceForbidden, ServerStopping, and what `require_valid_key`
        does.
        """
        import_id: UUID | None = None
        namespace, last_sequence = "", 0
        receiving = asyncio.ensure_future(self._receive(requests))
        try:
            while (received := await self._shutdown.wait_for(_received(receiving))) is not None:
                request = received.request
                violations = list(import_rules.next_message(request, import_id, last_sequence, namespace))
                if violations:
                    raise InvalidRequest(violations)
                receiving = asyncio.ensure_future(self._receive(requests))
                if import_id is None:
                    import_id, namespace = UUID(request.import_id), request.namespace
                if namespace:
                    (await self._access.renew()).require_target(namespace)
                if request.items:
                    last_sequence = request.items[-1].sequence
                yield await self._respond(received, import_id, namespace)
        finally:
            receiving.cancel()
            # The error of a message that is not answered any more is dropped.
            await asyncio.gather(receiving, return_exceptions=True)

    async def _respond(
        self, validated: _Validated, import_id: UUID, namespace: str
    ) -> trace_import_pb2.ImportTracesResponse:
        email, request = current_caller().email, validated.request
        if not request.items:
            return imports.progress_message(await import_service.get_progress(import_id, email, self._database))
        if not validated.items:
            last_sequence = await self._database.read(
                lambda reading: reading.imports.get_last_sequence(import_id, email)
            )
            outcomes = validated.errors
        else:
            try:
                stored = await import_service.store_items(
                    validated.items,
                    import_id=import_id,
                    email=email,
                    namespace=namespace,
                    resolve_access=self._access.renew,
                    model=validated.model,
                    tag_names=self._tag_names,
                    database=self._database,
                    limiter=self._limiter,
                )
            except ModelReplaced:
                # A vector that was valid for the old model may be invalid for the new one.
                await self._model.refresh()
                if self._model.info is validated.model:
                    raise
                return await self._respond(await self._validate(request), import_id, namespace)
            last_sequence, outcomes = stored.last_sequence, {**stored.outcomes, **validated.errors}
        return imports.acknowledgement(
            ((item.sequence, outcomes[item.sequence]) for item in request.items), last_sequence
        )

    async def _receive(self, requests: AsyncIterator[trace_import_pb2.ImportTracesRequest]) -> _Validated | None:
        """Returns the next message, None after the last one."""
        request = await anext(requests, None)
        return None if request is None else await self._validate(request)

    async def _validate(self, request: trace_import_pb2.ImportTracesRequest) -> _Validated:
        model, scopes = self._model.info, current_caller().scopes
        validated = _Validated(request=request, model=model)
        slice_bytes = 0
        for position, message in enumerate(request.items):
            if position % _SLICE_ITEMS == 0 or slice_bytes > _SLICE_BYTES:
                await asyncio.sleep(0)
                slice_bytes = 0
            slice_bytes += message.ByteSize()
            violations = list(
                import_rules.trace_record(message.trace, model_id=model.model_id, dimensions=model.dimensions)
            )
            if violations:
                validated.errors[message.sequence] = InvalidRequest(violations)
            elif imports.is_privileged(message.trace) and Scope.TRACES_IMPORT not in scopes:
                validated.errors[message.sequence] = ScopeMissing(Scope.TRACES_IMPORT)
            else:
                validated.items.append(imports.item(message))
        return validated


async def _received(receiving: asyncio.Future[_Validated | None]) -> _Validated | None:
    """Returns the next message once it is here. Raises what `require_valid_key` does, also while it waits.

    The key is checked again at the end: a message that was received ahead has waited until the last response was sent.
    """
    while not (await asyncio.wait([receiving], timeout=key_cache.FRESH_SECONDS))[0]:
        await require_valid_key()
    received = receiving.result()
    if received is not None:
        await require_valid_key()
    return received
