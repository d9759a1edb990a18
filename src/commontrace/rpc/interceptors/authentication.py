"""Who is asking. Until there are keys, callers say so themselves, which is why the server stays on loopback."""

from typing import Any

from commontrace import USER_METADATA
from commontrace.core.caller import LOCAL_EMAIL, Caller, claimed
from commontrace.core.errors import InvalidUser
from commontrace.rpc.call import Context, current_call
from commontrace.rpc.interceptors.interceptor import CheckingInterceptor, Handler


class AuthenticationInterceptor(CheckingInterceptor):
    """Takes the caller's e-mail address from the metadata."""

    def checked(self, handler: Handler, request: Any, context: Context) -> Any:  # noqa: ARG002
        """Records the caller. Raises InvalidUser, UserReserved."""
        current_call.get().caller = _caller(context)
        return request


def _caller(context: Context) -> Caller:
    claims = [value for key, value in context.invocation_metadata() or () if key == USER_METADATA]
    if not claims:
        return Caller(email=LOCAL_EMAIL)
    if len(claims) > 1:
        raise InvalidUser(f"{USER_METADATA} must be sent once, not {len(claims)} times")
    return claimed(str(claims[0]))
