"""Cost of an attack: the server's memory, and failed calls of well-behaved clients."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.faults.harness.good_clients import Fared, good_clients
from tests.faults.server_process import ServerProcess
from tests.support.keys import Metadata
from tests.support.repository import REPOSITORY

MEGABYTE = 1_000_000
SETTLE_SECONDS = 6.0
"""The server returns memory every five seconds."""
_SETTLED_BYTES = 2 * MEGABYTE
"""Nobody waits for less."""
_LOOK_SECONDS = 0.1


@dataclass(kw_only=True)
class Attack:
    """Record of an attack: actions, result, and the server's extra memory in bytes, at its peak and afterwards."""

    did: str = ""
    is_fended_off: bool = True
    fared: Fared = field(default_factory=Fared)
    peak: int = 0
    growth: int = 0

    @property
    def memory(self) -> str:
        """How much memory the server had more, as figures tell it."""
        return f"{self.peak / MEGABYTE:+.0f} MB at most, {self.growth / MEGABYTE:+.0f} MB afterwards"


@asynccontextmanager
async def attacked(running: ServerProcess, metadata: Metadata = (), *, settles: bool = True) -> AsyncIterator[Attack]:
    """Good clients, with this metadata, call while the block runs; memory is compared with what it was before.

    Without `settles`, nobody waits until the server has returned it.
    """
    attack, before = Attack(), running.resident_bytes

    async def watch() -> None:
        while True:
            attack.peak = max(attack.peak, running.resident_bytes - before)
            await asyncio.sleep(0.02)

    async with good_clients(running.address, metadata) as attack.fared:
        watching = asyncio.create_task(watch())
        yield attack
        watching.cancel()
    for _ in range(int(SETTLE_SECONDS / _LOOK_SECONDS) if settles else 0):
        if running.resident_bytes - before <= _SETTLED_BYTES:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    attack.growth = running.resident_bytes - before


async def sent_by(module: str, *arguments: str) -> str:
    """Runs a module of the rig as a process of its own to its end, and returns what it says.

    It is niced: it shares cores with the server and with those whom it is to harm.
    """
    attacker = await asyncio.create_subprocess_exec(
        *("nice", "-n", "19", sys.executable, "-m", f"tests.faults.harness.{module}", *arguments),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await attacker.communicate()
    assert attacker.returncode == 0
    return said.decode().strip()
