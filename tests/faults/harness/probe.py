"""A probe of health, as whoever restarts servers has one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import grpc
from grpc_health.v1 import health_pb2

from tests.contract.callers import reason_of
from tests.faults.harness.good_clients import Fared

_EVERY_SECONDS, _TIMEOUT_SECONDS = 0.1, 1.0
_CHECK = "/grpc.health.v1.Health/Check"


@asynccontextmanager
async def probed(address: str) -> AsyncIterator[Fared]:
    """Asks every 100 ms as long as the block runs; what takes more than a second has failed."""
    fared = Fared()

    async def probe() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_CHECK)
            while True:
                began = perf_counter()
                answer = await reason_of(_serving(check(b"", timeout=_TIMEOUT_SECONDS)))
                fared.took.append(perf_counter() - began)
                if answer != "OK":
                    fared.failures[answer] += 1
                await asyncio.sleep(max(0.0, began + _EVERY_SECONDS - perf_counter()))

    probing = asyncio.create_task(probe())
    try:
        yield fared
    finally:
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)


async def _serving(checked: "grpc.aio.UnaryUnaryCall[bytes, bytes]") -> None:
    status = health_pb2.HealthCheckResponse.FromString(await checked).status
    assert status == health_pb2.HealthCheckResponse.SERVING, status
