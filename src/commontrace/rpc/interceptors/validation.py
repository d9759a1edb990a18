"""Validation of requests against the rules of the contract."""

from collections.abc import AsyncIterator
from typing import Any

from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.base import CheckingInterceptor, Handler
from commontrace.rpc.validation.validator import Validator


class ValidationInterceptor(CheckingInterceptor):
    """Validates every request before it is passed on."""

    def __init__(self, validator: Validator) -> None:
        super().__init__()
        self._validator = validator

    def checked(self, handler: Handler, request: Any, context: Context) -> Any:  # noqa: ARG002
        """Returns the request. Raises InvalidRequest; for a stream, when the invalid message is read."""
        if handler.request_streaming:
            return self._check_each(request)
        self._validator.check(request)
        return request

    async def _check_each(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            self._validator.check(request)
            yield request
