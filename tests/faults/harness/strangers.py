"""Callers without a key that is known: `python -m tests.faults.harness.strangers ADDRESS WAY SECONDS COUNT`.

Prints what they did.
"""

import asyncio
import sys
from collections import Counter
from contextlib import suppress

import grpc

from commontrace.domain.keys.api_key import new_key
from tests.contract.callers import reason_of
from tests.contract.errors.error_row import GET, INFO, VALID
from tests.faults.harness import http2
from tests.support.keys import Metadata, bearer

UNKNOWN_KEYS, SLOW, LARGE, STANDARD = WAYS = (
    "unknown keys",
    "slow messages",
    "large messages",
    "health and reflection",
)
_HEALTH, _REFLECTION = "/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
_CALL_SECONDS = 10.0
_UNKNOWN_AT_A_TIME, _CHANNELS = 150, 4
_SLOW_CONNECTIONS, _SLOW_CALLS, _DRIP_SECONDS = 8, 12, 0.4
_LARGE_BYTES, _LARGE_A_SECOND = 1 << 20, 20
_STANDARD_BYTES, _CALLS_A_CONNECTION = 2 << 20, 50


async def unknown_keys(address: str, seconds: float, _count: int) -> str:
    """Calls with keys that nobody has, each another, as many at a time as a server has places for, and more."""
    answers: Counter[str] = Counter()
    channels = [grpc.aio.insecure_channel(address, _OPTIONS) for _ in range(_CHANNELS)]

    async def guess(channel: grpc.aio.Channel) -> None:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(INFO)
        while True:
            answers[await reason_of(ask(b"", metadata=bearer(new_key()), timeout=_CALL_SECONDS))] += 1

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(guess(channels[number % _CHANNELS]) for number in range(_UNKNOWN_AT_A_TIME)))
    for channel in channels:
        await channel.close()
    return _counted(answers)


async def large(address: str, seconds: float, _count: int) -> str:
    """Sends large messages, with an unknown key and without any in turn."""
    answers: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(address, _OPTIONS) as channel, asyncio.TaskGroup() as group:
        get: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GET)

        async def send(number: int) -> None:
            metadata = bearer(new_key()) if number % 2 else ()
            answers[await reason_of(get(bytes(_LARGE_BYTES), metadata=metadata, timeout=_CALL_SECONDS))] += 1

        for number in range(round(seconds * _LARGE_A_SECOND)):
            group.create_task(send(number))
            await asyncio.sleep(1 / _LARGE_A_SECOND)
    return _counted(answers)


async def slow(address: str, seconds: float, _count: int) -> str:
    """Sends messages a byte at a time, of a health check and of a call with an unknown key in turn."""
    request = VALID[GET].SerializeToString()

    async def one(connection: _Connection, number: int) -> None:
        path, metadata = (_HEALTH, ()) if number % 2 else (GET, bearer(new_key()))
        await connection.send(path, len(request), metadata=metadata, pause=_DRIP_SECONDS)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for _ in range(_SLOW_CONNECTIONS):
                connection = await _Connection.to(address)
                for number in range(_SLOW_CALLS):
                    group.create_task(one(connection, number))
    return f"{_SLOW_CONNECTIONS} connections of {_SLOW_CALLS} slow messages"


async def standard(address: str, seconds: float, count: int) -> str:
    """Sends so many large messages at once where nobody needs a key; half of them never end."""
    connections: list[_Connection] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for number in range(count):
                if number % _CALLS_A_CONNECTION == 0:
                    connections.append(await _Connection.to(address))
                path = (_HEALTH, _REFLECTION)[number // 2 % 2]
                group.create_task(connections[-1].send(path, _STANDARD_BYTES, ends=bool(number % 2)))
            # What has no end waits for one.
            await asyncio.sleep(seconds)
    taken = sum(connection.taken for connection in connections)
    return f"{count:,} calls, {taken / 1e6:,.0f} MB taken of them"


class _Connection:
    """One that keeps to the windows of its peer, and is left open."""

    def __init__(self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._address = address
        self._writer = writer
        self._windows = http2.Windows()
        self._following = asyncio.create_task(self._windows.follow(reader))
        self._stream = -1
        self.taken = 0
        writer.write(http2.PREFACE + http2.SETTINGS)

    @classmethod
    async def to(cls, address: str) -> "_Connection":
        host, _, port = address.rpartition(":")
        return cls(address, *await asyncio.open_connection(host, int(port)))

    async def send(
        self, path: str, size: int, *, metadata: Metadata = (), ends: bool = False, pause: float = 0
    ) -> None:
        """Sends a message of so many zeros, a byte at a time if there is a pause after each, the last one if it `ends`.

        Adds up in `taken` how many bytes the peer has taken.
        """
        self._stream += 2
        stream = self._stream
        message = b"\0" + size.to_bytes(4, "big") + bytes(size if ends else size - 1)
        self._writer.write(http2.request_without_end(stream, path, self._address, metadata))
        place = 0
        while count := await self._windows.taken(stream, min(1 if pause else len(message), len(message) - place)):
            piece = message[place : place + count]
            place += count
            self.taken += count
            with suppress(ConnectionError):
                self._writer.write(http2.data(stream, piece, ends=ends and place == len(message)))
                await self._writer.drain()
            await asyncio.sleep(pause)


def _counted(answers: Counter[str]) -> str:
    return ", ".join(f"{count} {answer}" for answer, count in answers.most_common())


_DO = dict(zip(WAYS, (unknown_keys, slow, large, standard), strict=True))

if __name__ == "__main__":
    address, way, seconds, count = sys.argv[1:]
    sys.stdout.write(asyncio.run(_DO[way](address, float(seconds), int(count))))
