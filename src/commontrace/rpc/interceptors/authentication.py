"""Authentication and authorization: the user of an API key, and the scope that the RPC requires (ADR 0004, 0027).

A caller with a key is the key's user, on every server. Where no key is required, callers without one name themselves,
which is why such a server listens on loopback.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc

from commontrace import KEY_METADATA, USER_METADATA
from commontrace.core.keys.cache import KeyCache
from commontrace.domain.caller import LOCAL_EMAIL, Caller, claim_address
from commontrace.domain.errors import InvalidKey, InvalidUser, KeyRequired
from commontrace.domain.scopes import Scope
from commontrace.fair_sharing.shares import served_user
from commontrace.rpc.call import Context, Reauthenticate, current_call, current_caller, require_valid_key
from commontrace.rpc.interceptors.base import (
    Handler,
    WrappingInterceptor,
    streaming_behavior,
    streaming_handler,
    unary_behavior,
)

_SCHEME = "bearer "
_LOCAL = Caller(email=LOCAL_EMAIL)


class AuthenticationInterceptor(WrappingInterceptor):
    """Sets the caller of each call, and requires the scope that its RPC declares. `scopes` are by path."""

    def __init__(self, keys: KeyCache, scopes: Mapping[str, Scope], *, requires_key: bool) -> None:
        super().__init__()
        self._keys = keys
        self._scopes = scopes
        self._requires_key = requires_key

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns a handler of the same kind, which raises what `_authenticate` does."""
        scope = self._scopes[method]
        if handler.response_streaming:
            inner_stream = streaming_behavior(handler)

            def stream(request: Any, context: Context) -> AsyncGenerator[Any]:
                pending = self._authenticate(context, scope)
                if pending is None and current_caller().key_id is None:
                    return inner_stream(request, context)
                current_call.get().reauthenticate = partial(self._reauthenticate, context, scope)
                return _while_key_is_valid(pending, inner_stream(request, context))

            return streaming_handler(handler, stream)

        inner = unary_behavior(handler)

        async def unary(request: Any, context: Context) -> Any:
            pending = self._authenticate(context, scope)
            if pending is not None:
                await pending()
            return await inner(request, context)

        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)

    def _authenticate(self, context: Context, scope: Scope) -> Reauthenticate | None:
        """Authenticates the caller at once, or returns what does so where the key has to be loaded.

        Raises InvalidKey, InvalidUser, KeyRequired, ScopeMissing, UserReserved. What it returns also raises
        DatabaseUnavailable, Overloaded.
        """
        metadata = context.invocation_metadata() or ()
        credentials = [str(value) for key, value in metadata if key == KEY_METADATA]
        claims = [str(value) for key, value in metadata if key == USER_METADATA]
        if not credentials:
            if self._requires_key:
                raise KeyRequired
            _set_caller(_claimed(claims), scope)
            return None
        key = _key(credentials)
        caller = self._keys.get(key)
        if caller is None:
            return partial(self._load, key, claims, scope)
        _set_caller(_confirmed(caller, claims), scope)
        return None

    async def _reauthenticate(self, context: Context, scope: Scope) -> None:
        pending = self._authenticate(context, scope)
        if pending is not None:
            await pending()

    async def _load(self, key: str, claims: list[str], scope: Scope) -> None:
        _set_caller(_confirmed(await self._keys.load(key), claims), scope)


async def _while_key_is_valid(pending: Reauthenticate | None, responses: AsyncGenerator[Any]) -> AsyncGenerator[Any]:
    """Yields the responses of a stream, which may last for days, and checks the caller's key before each."""
    async with aclosing(responses):
        if pending is not None:
            await pending()
        async for response in responses:
            await require_valid_key()
            yield response


def _set_caller(caller: Caller, scope: Scope) -> None:
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
    return claim_address(claims[0])


def _confirmed(caller: Caller, claims: list[str]) -> Caller:
    # Ignoring the claim would let the caller act in another name than it thinks.
    if claims and _claimed(claims).email != caller.email:
        raise InvalidUser(f"{USER_METADATA} names somebody else than the API key: leave it away")
    return caller
