"""Peers that mean harm. Each attack lasts so many seconds, or as long as it takes, and says what it did."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from time import perf_counter

import grpc

from tests.contract.errors.error_row import CREATE, GET, VALID
from tests.faults.harness import http2
from tests.support.keys import Metadata

_BATCH = 50
_RECONNECT_SECONDS = 0.01
_CONNECT_AT_ONCE = 50
_LONGEST_HANDSHAKE = 8.0
"""The server's limit is 5 s."""
_DRIP_SECONDS = 0.5
_REFUSED = grpc.StatusCode.RESOURCE_EXHAUSTED.name


async def reset_rapidly(address: str, seconds: float) -> str:
    """Opens and resets streams as fast as the server takes them (CVE-2023-44487)."""
    headers = http2.request_headers(GET, address)
    ends_at = perf_counter() + seconds
    resets = connections = 0
    while perf_counter() < ends_at:
        connections += 1
        with suppress(ConnectionError):
            async with http2.connected(address) as writer:
                writer.write(http2.PREFACE + http2.SETTINGS)
                stream = 1
                while perf_counter() < ends_at and not writer.is_closing():
                    writer.write(
                        b"".join(http2.opened_and_reset(one, headers) for one in range(stream, stream + 2 * _BATCH, 2))
                    )
                    stream += 2 * _BATCH
                    resets += _BATCH
                    await writer.drain()
                    await asyncio.sleep(0)
        await asyncio.sleep(_RECONNECT_SECONDS)
    return f"{resets:,} streams reset over {connections} connections"


async def keep_silent(address: str, count: int) -> tuple[str, float]:
    """Connects so many times and says nothing, or the first words a byte at a time.

    Returns also how many seconds the last of them was served for, infinity if it was not closed.
    """
    host, _, port = address.rpartition(":")
    turn = asyncio.Semaphore(_CONNECT_AT_ONCE)
    lasted: list[float] = []

    async def one(number: int) -> None:
        async with turn:
            reader, writer = await asyncio.open_connection(host, int(port))
        began = perf_counter()
        dripping = asyncio.create_task(_drip(writer)) if number % 2 else None
        try:
            async with asyncio.timeout(_LONGEST_HANDSHAKE):
                with suppress(ConnectionError):
                    while await reader.read(1024):
                        pass
            lasted.append(perf_counter() - began)
        except TimeoutError:
            lasted.append(float("inf"))
        finally:
            if dripping is not None:
                dripping.cancel()
            writer.transport.abort()

    await asyncio.gather(*(one(number) for number in range(count)))
    return f"{count:,} silent connections, closed after {max(lasted):.1f} s at most", max(lasted)


async def _drip(writer: asyncio.StreamWriter) -> None:
    for byte in http2.PREFACE[:-1]:
        writer.write(bytes([byte]))
        await asyncio.sleep(_DRIP_SECONDS)


@asynccontextmanager
async def idle(address: str, count: int) -> AsyncIterator[None]:
    """Connects so many times, as HTTP/2 wants it, and asks for nothing."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            writer = await stack.enter_async_context(http2.connected(address))
            writer.write(http2.PREFACE + http2.SETTINGS)
        yield


async def send_compressed_zeros(address: str, size: int, times: int, key: Metadata) -> tuple[str, bool]:
    """Sends messages that are a thousand times as large as what travels.

    Who has no key is not listened to: see `messages`. Returns how they were answered, and whether all were refused.
    """
    answers: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(address) as channel:
        create: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CREATE)
        for _ in range(times):
            answers[await _answer(create(bytes(size), compression=grpc.Compression.Gzip, metadata=key))] += 1
    return f"{times} times {size / 1e6:.0f} MB of compressed zeros: {_counted(answers)}", set(answers) == {_REFUSED}


async def send_large_metadata(address: str, times: int, key: Metadata) -> tuple[str, bool]:
    """Sends 20 KB of metadata. Returns how the calls were answered, and whether all were refused."""
    answers: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(address) as channel:
        get: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GET)
        for _ in range(times):
            metadata = (("x-large", "x" * 20_000), *key)
            answers[await _answer(get(VALID[GET].SerializeToString(), metadata=metadata))] += 1
    return f"{times} times 20 KB of metadata: {_counted(answers)}", set(answers) == {_REFUSED}


async def _answer(call: "grpc.aio.UnaryUnaryCall[bytes, bytes]") -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def _counted(answers: Counter[str]) -> str:
    return ", ".join(f"{count} {answer}" for answer, count in answers.items())
