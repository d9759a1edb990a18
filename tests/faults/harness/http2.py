"""Frames of HTTP/2 by hand (RFC 9113), for peers that do what no library lets them do."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x8
_END_STREAM, _END_HEADERS = 0x1, 0x4
_INITIAL_WINDOW_SIZE = 0x4
_CANCEL = 8
_CHUNK_BYTES = 65_536
_FRAME_BYTES = 16_384

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of any kind."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


SETTINGS = frame(_SETTINGS, 0, 0, b"")
"""Asks for nothing but the defaults."""

NO_WINDOW = frame(_SETTINGS, 0, 0, _INITIAL_WINDOW_SIZE.to_bytes(2, "big") + bytes(4))
"""Takes no data before it says so."""

WINDOW_BYTES = 65_535
"""How much is taken by default."""


def request_headers(path: str, authority: str, metadata: Iterable[tuple[str, str]] = ()) -> bytes:
    """The header block of a gRPC call. RFC 7541: literals that are not indexed, without Huffman codes."""
    literals = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *metadata,
    ]
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in literals)


def request(stream: int, path: str, authority: str, message: bytes, metadata: Iterable[tuple[str, str]] = ()) -> bytes:
    """A whole gRPC call of one message."""
    prefixed = b"\0" + len(message).to_bytes(4, "big") + message
    return request_without_end(stream, path, authority, metadata) + data(stream, prefixed, ends=True)


def request_without_end(stream: int, path: str, authority: str, metadata: Iterable[tuple[str, str]] = ()) -> bytes:
    """The beginning of a gRPC call, before its first message."""
    return frame(_HEADERS, _END_HEADERS, stream, request_headers(path, authority, metadata))


def data(stream: int, piece: bytes, *, ends: bool = False) -> bytes:
    """A piece of a stream's data; `ends` with the last."""
    return frame(_DATA, _END_STREAM if ends else 0, stream, piece)


def window_update(stream: int, count: int) -> bytes:
    """Takes so many bytes more, stream 0 for the whole connection."""
    return frame(_WINDOW_UPDATE, 0, stream, count.to_bytes(4, "big"))


async def next_data(reader: asyncio.StreamReader) -> bytes | None:
    """Returns the next piece of data, None at the end of the stream. Raises ConnectionResetError where it is reset."""
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags = head[3], head[4]
        if kind == _DATA:
            return payload
        if kind == _RST_STREAM:
            raise ConnectionResetError
        if kind == _HEADERS and flags & _END_STREAM:
            return None


class Windows:
    """Flow-control windows of a peer: of the connection and of each of its streams (RFC 9113, 5.2)."""

    def __init__(self) -> None:
        """Starts with the defaults."""
        self._initial = WINDOW_BYTES
        self._connection = WINDOW_BYTES
        self._streams: dict[int, int] = {}
        self._over: set[int] = set()
        self._changed = asyncio.Event()

    async def follow(self, reader: asyncio.StreamReader) -> None:
        """Reads what the peer says until it hangs up."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                self._hear(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        self._connection = -1
        self._changed.set()

    async def taken(self, stream: int, wanted: int) -> int:
        """Takes from the windows, as soon as there is something; 0 where nothing is wanted, or the stream is over."""
        self._streams.setdefault(stream, self._initial)
        while wanted and self._connection >= 0 and stream not in self._over:
            count = min(wanted, self._connection, self._streams[stream], _FRAME_BYTES)
            if count > 0:
                self._connection -= count
                self._streams[stream] -= count
                return count
            self._changed.clear()
            await self._changed.wait()
        return 0

    def _hear(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _WINDOW_UPDATE:
            count = int.from_bytes(payload, "big")
            if stream:
                self._streams[stream] = self._streams.get(stream, self._initial) + count
            else:
                self._connection += count
        elif kind == _SETTINGS:
            for place in range(0, len(payload), 6):
                if int.from_bytes(payload[place : place + 2], "big") == _INITIAL_WINDOW_SIZE:
                    more = int.from_bytes(payload[place + 2 : place + 6], "big") - self._initial
                    self._initial += more
                    self._streams = {one: window + more for one, window in self._streams.items()}
        elif kind == _RST_STREAM or (kind == _HEADERS and flags & _END_STREAM):
            self._over.add(stream)
        self._changed.set()


def opened_and_reset(stream: int, headers: bytes) -> bytes:
    """A stream that its caller gives up at once."""
    return frame(_HEADERS, _END_HEADERS, stream, headers) + frame(_RST_STREAM, 0, stream, _CANCEL.to_bytes(4, "big"))


def _text(text: str) -> bytes:
    assert len(text) < 0x7F
    return bytes([len(text)]) + text.encode()


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[asyncio.StreamWriter]:
    """Yields a connection to write to; what comes back is read and forgotten. Broken ones may be left as they are."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def forget() -> None:
        with suppress(ConnectionError):
            while await reader.read(_CHUNK_BYTES):
                pass

    forgetting = asyncio.create_task(forget())
    try:
        yield writer
    finally:
        forgetting.cancel()
        await asyncio.gather(forgetting, return_exceptions=True)
        writer.transport.abort()
