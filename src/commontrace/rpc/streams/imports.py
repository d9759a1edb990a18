"""Imports: one message after the other, each acknowledged when it is durable."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

from commontrace.core.imports import service as importing
from commontrace.core.keys import cache as known_keys
from commontrace.core.tags.name_quota import TagNameQuota
from commontrace.domain.errors import ModelReplaced, ScopeMissing
from commontrace.domain.imports.decisions import Item, Outcome
from commontrace.domain.scopes import Scope
from commontrace.embeddings.active_model import ActiveModel
from commontrace.embeddings.model import Model
from commontrace.rpc.call import current_caller, still_admitted
from commontrace.rpc.messages import imports
from commontrace.rpc.shutdown import ShutdownSignal
from commontrace.rpc.validation import import_rules
from commontrace.rpc.validation.invalid_request import InvalidRequest
from commontrace.sharing.fair_limiter import FairLimiter
from commontrace.storage.database import Database
from commontrace.v1 import trace_import_pb2

# Items that are checked and translated in one go, while no other call has its turn, and their bytes.
_SLICE = 25
_SLICE_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class _Received:
    """A message, its valid items by the model, and what is wrong with the others, by sequence."""

    request: trace_import_pb2.ImportTracesRequest
    model: Model
    items: list[Item] = field(default_factory=list)
    refused: dict[int, Outcome] = field(default_factory=dict)


class Importer:
    """Carries out the imports of a server."""

    def __init__(
        self,
        database: Database,
        model: ActiveModel,
        stopping: ShutdownSignal,
        tag_names: TagNameQuota,
        turns: FairLimiter,
    ) -> None:
        """Takes where to store, whose vectors are welcome, when to end, what tags may be new, and whose turn it is.

        All at once would take every connection from other writes; they wait, and their senders with them.
        """
        self._database = database
        self._model = model
        self._stopping = stopping
        self._tag_names = tag_names
        self._turns = turns

    async def acknowledge(
        self, requests: AsyncIterator[trace_import_pb2.ImportTracesRequest]
    ) -> AsyncGenerator[trace_import_pb2.ImportTracesResponse]:
        """Yields the answer to each message. Raises InvalidRequest, ServerStopping, and what `still_admitted` does.

        While one message is stored, the next one is received and checked, and no more: flow control holds the sender
        back.
        """
        import_id: UUID | None = None
        last_sequence = 0
        receiving = asyncio.ensure_future(self._receive(requests))
        try:
            while (received := await self._stopping.unless_begun(_arrived(receiving))) is not None:
                request = received.request
                violations = list(import_rules.next_message(request, import_id, last_sequence))
                if violations:
                    raise InvalidRequest(violations)
                receiving = asyncio.ensure_future(self._receive(requests))
                import_id = import_id or UUID(request.import_id)
                if request.items:
                    last_sequence = request.items[-1].sequence
                yield await self._answer(received, import_id)
        finally:
            receiving.cancel()
            # Whatever was wrong with a message that is not answered any more is nobody's concern.
            await asyncio.gather(receiving, return_exceptions=True)

    async def _answer(self, received: _Received, import_id: UUID) -> trace_import_pb2.ImportTracesResponse:
        email, request = current_caller().email, received.request
        if not request.items:
            return imports.progress_message(await importing.get_progress(import_id, email, self._database))
        if not received.items:
            last_sequence = await self._database.read(
                lambda reading: reading.imports.get_last_sequence(import_id, email)
            )
            outcomes = received.refused
        else:
            try:
                async with self._turns.hold():
                    stored = await importing.store_items(
                        received.items,
                        import_id=import_id,
                        email=email,
                        model=received.model,
                        tag_names=self._tag_names,
                        database=self._database,
                    )
            except ModelReplaced:
                # What was right by the old model may be wrong by the new one.
                await self._model.refresh()
                if self._model.info is received.model:
                    raise
                return await self._answer(await self._checked(request), import_id)
            last_sequence, outcomes = stored.last_sequence, {**stored.outcomes, **received.refused}
        return imports.acknowledgement(
            ((item.sequence, outcomes[item.sequence]) for item in request.items), last_sequence
        )

    async def _receive(self, requests: AsyncIterator[trace_import_pb2.ImportTracesRequest]) -> _Received | None:
        """Returns the next message, None after the last one."""
        request = await anext(requests, None)
        return None if request is None else await self._checked(request)

    async def _checked(self, request: trace_import_pb2.ImportTracesRequest) -> _Received:
        model, scopes = self._model.info, current_caller().scopes
        received = _Received(request=request, model=model)
        checked_bytes = 0
        for position, message in enumerate(request.items):
            if position % _SLICE == 0 or checked_bytes > _SLICE_BYTES:
                await asyncio.sleep(0)
                checked_bytes = 0
            checked_bytes += message.ByteSize()
            violations = list(
                import_rules.trace_record(message.trace, model_id=model.model_id, dimensions=model.dimensions)
            )
            if violations:
                received.refused[message.sequence] = InvalidRequest(violations)
            elif imports.is_privileged(message.trace) and Scope.TRACES_IMPORT not in scopes:
                received.refused[message.sequence] = ScopeMissing(Scope.TRACES_IMPORT)
            else:
                received.items.append(imports.item(message))
        return received


async def _arrived(receiving: asyncio.Future[_Received | None]) -> _Received | None:
    """Returns the next message once it is here. Ends the wait for it when the sender's key ends.

    A message that was received ahead has waited until the last answer was taken, longer perhaps than the key lasted.
    """
    while not (await asyncio.wait([receiving], timeout=known_keys.FRESH_SECONDS))[0]:
        await still_admitted()
    received = receiving.result()
    if received is not None:
        await still_admitted()
    return received
