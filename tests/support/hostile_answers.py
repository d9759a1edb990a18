"""Answers of an endpoint that is hostile or broken, byte by byte; one that never ends notes when its client leaves."""

import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path

from tests.support.embedding_server import Answering, Handler

MEBIBYTE = 1 << 20
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
_LONGEST_SECONDS = 8.0


def wire(content: bytes) -> Answering:
    """Sends the bytes as they are, and hangs up."""

    def answer(handler: Handler) -> None:
        handler.close_connection = True
        with suppress(OSError):
            handler.wfile.write(content)

    return answer


def endless(piece: bytes, *, first: bytes, pause: float = 0.0) -> Answering:
    """Repeats a piece until the client has gone, or for 8 s."""

    def answer(handler: Handler) -> None:
        handler.close_connection = True
        until = time.monotonic() + _LONGEST_SECONDS
        try:
            handler.wfile.write(first)
            while time.monotonic() < until:
                handler.wfile.write(piece)
                time.sleep(pause)
        except OSError:
            handler.owner.left.set()

    return answer


def body(content: bytes, *headers: str, status: str = "200 OK") -> Answering:
    """Sends a body under headers of one's own."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(content)}", "", ""]
    return wire("\r\n".join(lines).encode("latin-1") + content)


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def bomb(mebibytes: int, *, wbits: int = 31) -> bytes:
    """Returns gzip (or zlib, or raw deflate) of so many mebibytes of blanks; its checksum is wrong."""
    packing = zlib.compressobj(1, wbits=wbits)
    first, again = (packing.compress(b" " * MEBIBYTE) + packing.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    # After a full flush, a block depends on nothing before it.
    return b"".join([first, *repeat(again, mebibytes - 1), packing.flush()])


def nested_bomb() -> bytes:
    """Returns a gzip of a gzip of 1 GiB."""
    packing = zlib.compressobj(9, wbits=31)
    return packing.compress(bomb(1024)) + packing.flush()


def gzipped(content: bytes) -> bytes:
    packing = zlib.compressobj(wbits=31)
    return packing.compress(content) + packing.flush()


def peak_kibibytes() -> Iterator[int]:
    """Yields the memory that this process has now, and then, each time, the most that it has had since."""
    Path("/proc/self/clear_refs").write_text("5")
    yield _status("VmRSS")
    while True:
        yield _status("VmHWM")


def _status(name: str) -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1])
