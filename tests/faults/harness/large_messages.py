"""Sends large messages: `python -m tests.faults.harness.large_messages ADDRESS IN_SEQUENCE AT_ONCE [CREDENTIALS]`.

Of each size, plain and compressed, so many one after the other, then so many at once. Prints how they were answered.
"""

import asyncio
import sys
from collections import Counter

import grpc

from tests.contract.errors.error_row import GET

# What the transport takes at most, and twice that.
_SIZES = (2_000_000, 4_000_000)
_CALL_SECONDS = 60.0
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0))


async def send_all(address: str, in_sequence: int, at_once: int, *credentials: str) -> Counter[str]:
    """Returns how often each code was the answer."""
    answers: Counter[str] = Counter()
    metadata = tuple(("authorization", value) for value in credentials)
    async with grpc.aio.insecure_channel(address, _OPTIONS) as channel:
        get: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(GET)

        async def send(size: int, compression: grpc.Compression) -> None:
            try:
                await get(bytes(size), timeout=_CALL_SECONDS, metadata=metadata, compression=compression)
            except grpc.aio.AioRpcError as error:
                answers[error.code().name] += 1

        for size in _SIZES:
            for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
                for _ in range(in_sequence):
                    await send(size, compression)
                await asyncio.gather(*(send(size, compression) for _ in range(at_once)))
    return answers


if __name__ == "__main__":
    address, in_sequence, at_once, *credentials = sys.argv[1:]
    counted = asyncio.run(send_all(address, int(in_sequence), int(at_once), *credentials))
    sys.stdout.write(", ".join(f"{count} {answer}" for answer, count in counted.most_common()))
