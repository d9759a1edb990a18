"""A network that breaks: forwards connections and delays, cuts, half-closes or swallows what they carry."""

import asyncio
import itertools
import os
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path

_CHUNK_BYTES = 16_384
# A lost connection is noticed some day: kernels probe it. Until then it takes one of Postgres's places.
_BLACK_HOLE_SECONDS = 5.0
_RESETS_ON_CLOSE = struct.pack("ii", 1, 0)


class Fault(Enum):
    """Fault of a connection, when a request passes."""

    BLACK_HOLE_BEFORE = "black hole before it"
    """Neither the request nor anything after it arrives anywhere."""
    BLACK_HOLE_AFTER = "black hole after it"
    """The request arrives, and nothing after it."""
    RESET_BEFORE = "reset before it"
    RESET_AFTER = "reset after it"
    HALF_CLOSE = "half-close after it"
    """The request arrives; in the answer's place comes the end of the stream."""


class Proxy:
    """Forwards what connects to `address`; both directions, until something is broken here."""

    def __init__(self, target: str | Path, allowances: Iterator[int]) -> None:
        """Takes HOST:PORT or a Unix socket, and how many bytes of answers each connection brings before it is cut."""
        self.address = ""
        self.latency = 0.0
        """How long answers take, in seconds."""
        self.lingers = False
        """Whether connections stay open that the other side has ended."""
        self.cuts = 0
        """How many connections have used up their allowance."""
        self._target = target
        self._allowances = allowances
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._awaited: tuple[bytes, Fault, asyncio.Event] | None = None

    def expect(self, marker: bytes, fault: Fault) -> asyncio.Event:
        """Lets the next request that contains the marker meet the fault; returns what is set then."""
        met = asyncio.Event()
        self._awaited = (marker, fault, met)
        return met

    def reset(self) -> None:
        """Resets every connection."""
        for connection in list(self._connections):
            connection.reset()

    def swallow(self) -> None:
        """Makes every connection a black hole; new ones work."""
        for connection in list(self._connections):
            connection.swallow()

    def half_close(self) -> None:
        """Tells whoever connected that no more answers will come."""
        for connection in list(self._connections):
            connection.half_close()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forwards one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            server_reader, server_writer = await self._reach()
        except OSError:
            _reset(writer)
            return
        connection = _Connection(reader, writer, server_reader, server_writer)
        self._connections.add(connection)
        try:
            await connection.forward(self)
        finally:
            self._connections.discard(connection)
            connection.reset()

    def fault_in(self, request: bytes) -> Fault | None:
        """Returns what this request meets."""
        if self._awaited is None or self._awaited[0] not in request:
            return None
        _, fault, met = self._awaited
        self._awaited = None
        met.set()
        return fault

    def next_allowance(self) -> int:
        """Returns what the next connection may bring."""
        return next(self._allowances)

    async def close(self) -> None:
        """Ends everything."""
        for connection in list(self._connections):
            connection.end()
        await asyncio.gather(*self._tasks)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        host, _, port = self._target.rpartition(":")
        return await asyncio.open_connection(host, int(port))


class _Connection:
    def __init__(
        self,
        requests: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        self._requests, self._client, self._answers, self._server = requests, client, answers, server
        self._swallows_requests = self._swallows_answers = False
        self._ways: list[asyncio.Task[None]] = []

    async def forward(self, proxy: Proxy) -> None:
        self._ways = [asyncio.create_task(way(proxy)) for way in (self._forward_requests, self._forward_answers)]
        await asyncio.wait(self._ways, return_when=asyncio.FIRST_COMPLETED)
        if self._swallows_answers:
            # Neither side learns of the other's end.
            await asyncio.wait(self._ways, timeout=_BLACK_HOLE_SECONDS)
        self.end()
        await asyncio.gather(*self._ways, return_exceptions=True)

    def end(self) -> None:
        for way in self._ways:
            way.cancel()

    async def _forward_requests(self, proxy: Proxy) -> None:
        while request := await self._requests.read(_CHUNK_BYTES):
            fault = proxy.fault_in(request)
            if fault is Fault.BLACK_HOLE_BEFORE:
                self.swallow()
            elif fault is Fault.RESET_BEFORE:
                return
            if not self._swallows_requests:
                self._server.write(request)
                await self._server.drain()
            if fault is Fault.BLACK_HOLE_AFTER:
                self.swallow()
            elif fault is Fault.HALF_CLOSE:
                self.half_close()
            elif fault is Fault.RESET_AFTER:
                return

    async def _forward_answers(self, proxy: Proxy) -> None:
        left = proxy.next_allowance()
        while left > 0 and (answer := await self._answers.read(min(_CHUNK_BYTES, left))):
            if proxy.latency:
                await asyncio.sleep(proxy.latency)
            if not self._swallows_answers:
                self._client.write(answer)
                await self._client.drain()
            left -= len(answer)
        proxy.cuts += left == 0
        if proxy.lingers:
            await asyncio.Event().wait()

    def swallow(self) -> None:
        self._swallows_requests = self._swallows_answers = True

    def half_close(self) -> None:
        self._swallows_answers = True
        if self._client.can_write_eof() and not self._client.is_closing():
            self._client.write_eof()

    def reset(self) -> None:
        _reset(self._client)
        _reset(self._server)


def _reset(writer: asyncio.StreamWriter) -> None:
    transport = writer.transport
    if not transport.is_closing():
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS_ON_CLOSE)
    transport.abort()


@asynccontextmanager
async def proxy_before(target: str | Path, allowances: Iterator[int] | None = None) -> AsyncIterator[Proxy]:
    """Yields a proxy on a loopback port before what listens at `target`, HOST:PORT or a Unix socket.

    Each connection may bring the next allowance of bytes back, without allowances any number.
    """
    proxy = Proxy(target, allowances or itertools.repeat(1 << 62))
    listener = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    proxy.address = "{}:{}".format(*listener.sockets[0].getsockname())
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.close()
        await listener.wait_closed()


def random_allowances(record_property: Callable[[str, object], None], least: int, most: int) -> Iterator[int]:
    """Yields allowances within the bounds, of a seed that is recorded; CUTS_SEED repeats one."""
    seed = int(os.environ.get("CUTS_SEED") or time.time_ns() % 1_000_000)
    record_property("counted", f"CUTS_SEED={seed}")
    chance = random.Random(seed)  # noqa: S311 - where to cut is no secret
    return (chance.randint(least, most) for _ in itertools.count())
