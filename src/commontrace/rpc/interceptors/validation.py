"""Requests that break a rule of the contract go no further."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from commontrace.rpc.call import Context
from commontrace.rpc.interceptors.interceptor import Handler, Interceptor
from commontrace.rpc.validation.validator import Validator


class ValidationInterceptor(Interceptor):
    """Holds every request against the rules of its type."""

    def __init__(self, validator: Validator) -> None:
        """Takes the rules."""
        super().__init__()
        self._validator = validator

    @asynccontextmanager
    async def around(self, handler: Handler, method: str, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ARG002
        """Raises InvalidRequest."""
        self._validator.check(request)
        yield request
