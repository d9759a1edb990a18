"""Who is asking, and whether they may.

Whoever sends an API key is the key's user, everywhere. Where none is required, others are whom they say they are, which
is why such a server stays on loopback.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc

from commontrace import KEY_METADATA, USER_METADATA
from commontrace.core.keys.cache import KeyCache
from commontrace.domain.caller import LOCAL_EMAIL, Caller, claimed
from commontrace.domain.errors import InvalidKey, InvalidUser, KeyRequired
from commontrace.domain.scopes import Scope
from commontrace.rpc.call import Context, Reauthenticate, current_call, current_caller, still_admitted
from commontrace.rpc.interceptors.base import (
    Handler,
    WrappingInterceptor,
    streaming_behavior,
    streaming_handler,
    unary_behavior,
)
from commontrace.sharing.shares import served_user

_SCHEME = "bearer "


class AuthenticationInterceptor(WrappingInterceptor):
    """Records the caller and holds its scopes against the one that the RPC declares."""

    def __init__(self, keys: KeyCache, scopes: Mapping[str, Scope], *, requires_key: bool) -> None:
        """Takes whose the keys are, the scope of each method, and whether callers need a key."""
        super().__init__()
        self._keys = keys
        self._scopes = scopes
        self._requires_key = requires_key

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns a handler of the same kind."""
        scope = self._scopes[method]
        if handler.response_streaming:
            stream_inside = streaming_behavior(handler)

            def stream(request: Any, context: Context) -> AsyncGenerator[Any]:
                asking = self._admit(context, scope)
                if asking is None and current_caller().key_id is None:
                    return stream_inside(request, context)
                current_call.get().reauthenticate = partial(self._admit_again, context, scope)
                return _while_admitted(asking, stream_inside(request, context))

            return streaming_handler(handler, stream)

        answer_inside = unary_behavior(handler)

        async def unary(request: Any, context: Context) -> Any:
            asking = self._admit(context, scope)
            if asking is not None:
                await asking()
            return await answer_inside(request, context)

        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)

    def _admit(self, context: Context, scope: Scope) -> Reauthenticate | None:
        """Admits the caller at once, or returns what does, where the database has to be asked.

        Raises InvalidKey, InvalidUser, KeyRequired, ScopeMissing, UserReserved; what is returned, besides, what keeps
        the database from answering.
        """
        metadata = context.invocation_metadata() or ()
        credentials = [str(value) for key, value in metadata if key == KEY_METADATA]
        claims = [str(value) for key, value in metadata if key == USER_METADATA]
        if not credentials:
            if self._requires_key:
                raise KeyRequired
            _enter(_claimed(claims), scope)
            return None
        key = _key(credentials)
        caller = self._keys.recall(key)
        if caller is None:
            return partial(self._ask, key, claims, scope)
        _enter(_confirmed(caller, claims), scope)
        return None

    async def _admit_again(self, context: Context, scope: Scope) -> None:
        asking = self._admit(context, scope)
        if asking is not None:
            await asking()

    async def _ask(self, key: str, claims: list[str], scope: Scope) -> None:
        _enter(_confirmed(await self._keys.ask(key), claims), scope)


async def _while_admitted(asking: Reauthenticate | None, responses: AsyncGenerator[Any]) -> AsyncGenerator[Any]:
    """Passes a stream on for as long as the caller's key is good: some streams last for days."""
    async with aclosing(responses):
        if asking is not None:
            await asking()
        async for response in responses:
            await still_admitted()
            yield response


def _enter(caller: Caller, scope: Scope) -> None:
    current_call.get().caller = caller
    served_user.set(caller.email)
    caller.require(scope)


def _key(credentials: list[str]) -> str:
    if len(credentials) > 1 or not credentials[0].lower().startswith(_SCHEME):
        raise InvalidKey("MALFORMED")
    return credentials[0][len(_SCHEME) :].strip()


def _claimed(claims: list[str]) -> Caller:
    if not claims:
        return _LOCAL
    if len(claims) > 1:
        raise InvalidUser(f"{USER_METADATA} must be sent once, not {len(claims)} times")
    return claimed(claims[0])


def _confirmed(caller: Caller, claims: list[str]) -> Caller:
    # Left unsaid, somebody would act in another name than they think.
    if claims and _claimed(claims).email != caller.email:
        raise InvalidUser(f"{USER_METADATA} names somebody else than the API key: leave it away")
    return caller


_LOCAL = Caller(email=LOCAL_EMAIL)
