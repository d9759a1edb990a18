"""Frames of HTTP/2 by hand (RFC 9113), for peers that do what no library lets them do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x8
_END_STREAM, _END_HEADERS = 0x1, 0x4
_INITIAL_WINDOW_SIZE = 0x4
_CANCEL = 8
_CHUNK_BYTES = 65_536

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


def request_headers(path: str, authority: str) -> bytes:
    """The header block of a gRPC call. RFC 7541: literals that are not indexed, without Huffman codes."""
    literals = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in literals)


def request(stream: int, path: str, authority: str, message: bytes) -> bytes:
    """A whole gRPC call of one message."""
    prefixed = b"\0" + len(message).to_bytes(4, "big") + message
    headers = frame(_HEADERS, _END_HEADERS, stream, request_headers(path, authority))
    return headers + frame(_DATA, _END_STREAM, stream, prefixed)


def window_update(stream: int, count: int) -> bytes:
    """Takes so many bytes more, stream 0 for the whole connection."""
    return frame(_WINDOW_UPDATE, 0, stream, count.to_bytes(4, "big"))


async def next_data(reader: asyncio.StreamReader) -> int:
    """Returns the size of the next piece of data, 0 for the end of the stream, -1 where it is reset."""
    while True:
        head = await reader.readexactly(9)
        await reader.readexactly(size := int.from_bytes(head[:3], "big"))
        kind, flags = head[3], head[4]
        if kind == _DATA:
            return size
        if kind == _RST_STREAM:
            return -1
        if kind == _HEADERS and flags & _END_STREAM:
            return 0


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
