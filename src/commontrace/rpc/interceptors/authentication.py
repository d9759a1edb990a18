"""Authentication and authorization: the user of an API key, and the scope that the RPC requires (ADR 0004, 0027).

A caller with a key is the key's user, on every server. Where no key is required, callers without one name themselves,
which is why such a server listens on loopback.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import grpc

from commontrace import KEY_METADATA, USER_METADATA
from commontrace.core.keys.cache import KeyCache
from commontrace.domain.caller import LOCAL_EMAIL, Caller, claim_address
from commontrace.domain.errors import InvalidKey, InvalidUser, KeyRequired
from commontrace.domain.scopes import Scope
from commontrace.fair_sharing.shares import served_user
from commontrace.rpc.access import CallAccess
from commontrace.rpc.call import Context, Reauthenticate, current_call, current_caller, require_valid_key
from commontrace.rpc.interceptors.base import (
    Handler,
    Send,
    WrappingInterceptor,
    streaming_behavior,
    streaming_handler,
    unary_behavior,
)

_SCHEME = "bearer "
_LOCAL = Caller(email=LOCAL_EMAIL)


class _Required(NamedTuple):
    """The scope that an RPC requires of all callers, and the one that is enough for moderators, None without one."""

    of_all: Scope
    of_moderators: Scope | None


class AuthenticationInterceptor(WrappingInterceptor):
    """Sets the caller of each call, and requires the scope that its RPC declares.

    `scopes` are by path, and so are `moderator_scopes`, which are enough for moderators of some namespace.
    """

    def __init__(
        self,
        keys: KeyCache,
        access: CallAccess,
        scopes: Mapping[str, Scope],
        moderator_scopes: Mapping[str, Scope],
        *,
        requires_key: bool,
    ) -> None:
        super().__init__()
        self._keys = keys
        self._access = access
        self._scopes = scopes
        self._moderator_scopes = moderator_scopes
        self._requires_key = requires_key

    def wrap(self, handler: Handler, method: str) -> Handler:
        """Returns a handler of the same kind, which raises what `_authenticate` does."""
        scope = _Required(self._scopes[method], self._moderator_scopes.get(method))
        if handler.response_streaming:
            inner_stream = streaming_behavior(handler)

            async def stream(request: Any, context: Context, send: Send) -> None:
                pending = self._authenticate(context, scope)
                if pending is not None:
                    await pending()
                if current_caller().key_id is None:
                    await inner_stream(request, context, send)
                    return
                current_call.get().reauthenticate = partial(self._reauthenticate, context, scope)
                await inner_stream(request, context, partial(_send_while_key_is_valid, send))

            return streaming_handler(handler, stream)

        inner = unary_behavior(handler)

        async def unary(request: Any, context: Context) -> Any:
            pending = self._authenticate(context, scope)
            if pending is not None:
                await pending()
            return await inner(request, context)

        return grpc.unary_unary_rpc_method_handler(unary, handler.request_deserializer, handler.response_serializer)

    def _authenticate(self, context: Context, scope: _Required) -> Reauthenticate | None:
        """Authenticates the caller at once, or returns what does so where the key or its access has to be loaded.

        Raises InvalidKey, InvalidUser, KeyRequired, ScopeMissing, UserReserved. What it returns also raises
        DatabaseUnavailable, Overloaded.
        """
        metadata = context.invocation_metadata() or ()
        credentials = [str(value) for key, value in metadata if key == KEY_METADATA]
        claims = [str(value) for key, value in metadata if key == USER_METADATA]
        if not credentials:
            if self._requires_key:
                raise KeyRequired
            return self._set_caller(_claimed(claims), scope)
        key = _key(credentials)
        caller = self._keys.get(key)
        if caller is None:
            return partial(self._load, key, claims, scope)
        return self._set_caller(_confirmed(caller, claims), scope)

    async def _reauthenticate(self, context: Context, scope: _Required) -> None:
        pending = self._authenticate(context, scope)
        if pending is not None:
            await pending()
        if current_call.get().access is not None:
            await self._access.renew()

    async def _load(self, key: str, claims: list[str], scope: _Required) -> None:
        pending = self._set_caller(_confirmed(await self._keys.load(key), claims), scope)
        if pending is not None:
            await pending()

    def _set_caller(self, caller: Caller, scope: _Required) -> Reauthenticate | None:
        current_call.get().caller = caller
        served_user.set(caller.email)
        if scope.of_moderators in caller.scopes and scope.of_all not in caller.scopes:
            return partial(self._require_moderator, caller, scope.of_all)
        caller.require(scope.of_all)
        return None

    async def _require_moderator(self, caller: Caller, scope: Scope) -> None:
        if not (await self._access.resolve()).moderates_some():
            caller.require(scope)


async def _send_while_key_is_valid(send: Send, response: Any) -> None:
    """Sends a response of a stream, which may last for days, unless the caller's key has ended."""
    await require_valid_key()
    await send(response)


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
