"""Callers of RPCs, and the reasons of failed calls."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from tests.contract.errors.error_promises import details

ADA, BOB, EVE = ((("x-commontrace-user", f"{name}@example.org"),) for name in ("ada", "bob", "eve"))


def caller(number: int) -> tuple[tuple[str, str], ...]:
    """The metadata of one of many users."""
    return (("x-commontrace-user", f"user{number}@example.org"),)


@asynccontextmanager
async def refused(reason: str, **metadata: str) -> AsyncIterator[None]:
    """Asserts that the call inside fails for this reason, with these facts."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        yield
    [info] = details(failure.value, error_details_pb2.ErrorInfo)
    assert info.reason == reason
    assert metadata.items() <= dict(info.metadata).items()


async def reason_of(call: Awaitable[Any]) -> str:
    """OK, the reason why the call failed, or its code where it has none."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        infos = details(error, error_details_pb2.ErrorInfo)
        return str(infos[0].reason) if infos else error.code().name
    return "OK"
