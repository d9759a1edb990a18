"""Requests that break a rule of the contract go no further."""

from collections.abc import AsyncIterator
from typing import Any

from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.base import CheckingInterceptor, Handler
from commontrace.rpc.validation.validator import Validator


class ValidationInterceptor(CheckingInterceptor):
    """Holds every request against the rules of its type."""

    def __init__(self, validator: Validator) -> None:
        """Takes the rules."""
        super().__init__()
        self._validator = validator

    def checked(self, handler: Handler, request: Any, context: Context) -> Any:  # noqa: ARG002
        """Raises InvalidRequest, for a stream of requests when the one at fault is read."""
        if handler.request_streaming:
            return self._all_checked(request)
        self._validator.check(request)
        return request

    async def _all_checked(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            self._validator.check(request)
            yield request
