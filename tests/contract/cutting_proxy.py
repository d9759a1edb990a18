"""A network that breaks: forwards connections to a server and cuts each after some bytes of its answers."""

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_CHUNK_BYTES = 16_384


@dataclass(kw_only=True)
class CuttingProxy:
    """How often it has cut, and where it listens."""

    address: str
    cuts: int = 0


@asynccontextmanager
async def cutting_proxy(address: str, allowances: Iterator[int]) -> AsyncIterator[CuttingProxy]:
    """Yields a proxy before the server at `address`; each connection may bring the next allowance of bytes back."""
    host, _, port = address.rpartition(":")
    forwarding: set[asyncio.Task[None]] = set()
    transports: set[asyncio.WriteTransport] = set()

    async def connected(client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        transports.update((client_writer.transport, writer.transport))

        async def answers() -> None:
            left = next(allowances)
            while left > 0 and (chunk := await reader.read(min(_CHUNK_BYTES, left))):
                client_writer.write(chunk)
                await client_writer.drain()
                left -= len(chunk)
            proxy.cuts += left == 0

        async def requests() -> None:
            while chunk := await client_reader.read(_CHUNK_BYTES):
                writer.write(chunk)
                await writer.drain()

        tasks = [asyncio.create_task(answers()), asyncio.create_task(requests())]
        forwarding.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        client_writer.transport.abort()
        writer.transport.abort()

    listener = await asyncio.start_server(connected, host, 0)
    proxy = CuttingProxy(address=f"{host}:{listener.sockets[0].getsockname()[1]}")
    try:
        yield proxy
    finally:
        listener.close()
        for transport in transports:
            transport.abort()
        for task in forwarding:
            task.cancel()
        await asyncio.gather(*forwarding, return_exceptions=True)
        await listener.wait_closed()


def random_allowances(record_property: Callable[[str, object], None], least: int, most: int) -> Iterator[int]:
    """Yields allowances within the bounds, of a seed that is recorded; CUTS_SEED repeats one."""
    seed = int(os.environ.get("CUTS_SEED") or time.time_ns() % 1_000_000)
    record_property("counted", f"CUTS_SEED={seed}")
    chance = random.Random(seed)  # noqa: S311 - where to cut is no secret
    return (chance.randint(least, most) for _ in itertools.count())
