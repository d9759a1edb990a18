"""Clients that do nothing wrong, while others do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

import grpc
from google.protobuf.message import Message

from tests.contract.calls import call
from tests.contract.errors.error_row import INFO, LIST, LIST_TAGS, SEARCH, VALID
from tests.support.keys import Metadata

_CLIENTS = 4
_CALLS_A_CONNECTION = 25
_PAUSE_SECONDS = 0.05
_ASKED = tuple((rpc, VALID[rpc]) for rpc in (INFO, LIST, SEARCH, LIST_TAGS))
# Every channel has connections of its own, and repeats nothing.
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))


@dataclass(kw_only=True)
class Fared:
    """Latencies in seconds and failures of their calls."""

    took: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def p99(self) -> float:
        """How many seconds one in a hundred took at least."""
        return sorted(self.took)[int(0.99 * len(self.took))]

    def __str__(self) -> str:
        failed = ", ".join(f"{count} {code}" for code, count in self.failures.items()) or "0"
        return f"{failed} of {len(self.took)} good calls failed, the slowest took {max(self.took, default=0):.2f} s"


@asynccontextmanager
async def good_clients(
    address: str, metadata: Metadata = (), *, asked: Sequence[tuple[str, Message]] = _ASKED
) -> AsyncIterator[Fared]:
    """They call as long as the block runs, in turn what is asked, and connect anew all the time."""
    fared = Fared()
    is_over = asyncio.Event()

    async def one(number: int) -> None:
        while not is_over.is_set():
            async with grpc.aio.insecure_channel(address, _OPTIONS) as channel:
                for _ in range(_CALLS_A_CONNECTION):
                    rpc, request = asked[number % len(asked)]
                    number += 1
                    began = perf_counter()
                    error = await call(channel, rpc, request.SerializeToString(), metadata)
                    fared.took.append(perf_counter() - began)
                    if error is not None:
                        fared.failures[f"{error.code().name} ({error.details()})"] += 1
                    await asyncio.sleep(_PAUSE_SECONDS)
                    if is_over.is_set():
                        break

    clients = [asyncio.create_task(one(number)) for number in range(_CLIENTS)]
    try:
        yield fared
    finally:
        is_over.set()
        await asyncio.gather(*clients)
