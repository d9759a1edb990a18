"""Peers that mean harm: what they cost those who do not, and the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.faults.rig.figure import Figure, Trial
from tests.faults.rig.good_clients import Fared, good_clients
from tests.faults.rig.hostile_peers import idle, keep_silent, reset_rapidly, send_compressed_zeros, send_large_metadata
from tests.faults.rig.servers import server
from tests.faults.server_process import ServerProcess

_RESET_SECONDS, _CONNECTIONS, _ZEROS, _TIMES = 5.0, 1_000, 200_000_000, 20
_HANDSHAKE_SECONDS = 6.0
_WARM_SECONDS = 3.0
# The server returns memory every five seconds.
_SETTLE_SECONDS = 6.0
_MEGABYTE = 1_000_000
_GROWTH = 10 * _MEGABYTE


@dataclass(kw_only=True)
class _Attack:
    """What it did, what came of it, and how much memory the server had more at most and when it was over."""

    did: str = ""
    is_fended_off: bool = True
    fared: Fared = field(default_factory=Fared)
    peak: int = 0
    growth: int = 0


async def measure(trial: Trial) -> list[Figure]:
    """One attack after the other, on a server whose good clients never pause."""
    figures = []
    with server(trial, "transport limits") as running:
        async with good_clients(running.address):
            await asyncio.sleep(max(1.0, _WARM_SECONDS * trial.scale))
        # First: without limits, the memory that resets leave to the allocator is room enough for zeros.
        async with _attacked(running, trial) as attack:
            attack.did, attack.is_fended_off = await send_compressed_zeros(
                running.address, trial.times(_ZEROS), trial.times(_TIMES)
            )
        figures += _figures("compressed zeros", attack)
        async with _attacked(running, trial) as attack:
            attack.did = await reset_rapidly(running.address, max(1.0, _RESET_SECONDS * trial.scale))
        figures += _figures("rapid resets", attack)
        async with _attacked(running, trial) as attack:
            attack.did, lasted = await keep_silent(running.address, trial.times(_CONNECTIONS))
            attack.is_fended_off = lasted <= _HANDSHAKE_SECONDS
        figures += _figures("silent connections", attack)
        async with _attacked(running, trial) as attack:
            async with idle(running.address, trial.times(_CONNECTIONS)):
                await asyncio.sleep(max(0.5, _SETTLE_SECONDS * trial.scale))
            attack.did = f"{trial.times(_CONNECTIONS):,} idle connections"
        figures += _figures("idle connections", attack)
        async with _attacked(running, trial) as attack:
            attack.did, attack.is_fended_off = await send_large_metadata(running.address, trial.times(_TIMES))
        figures += _figures("large metadata", attack)
    return figures


@asynccontextmanager
async def _attacked(running: ServerProcess, trial: Trial) -> AsyncIterator[_Attack]:
    """Good clients call while the block runs; memory is compared with what it was before."""
    attack, before = _Attack(), running.resident_bytes

    async def watch() -> None:
        while True:
            attack.peak = max(attack.peak, running.resident_bytes - before)
            await asyncio.sleep(0.02)

    async with good_clients(running.address) as attack.fared:
        watching = asyncio.create_task(watch())
        yield attack
        watching.cancel()
    await asyncio.sleep(max(0.5, _SETTLE_SECONDS * trial.scale))
    attack.growth = running.resident_bytes - before


def _figures(name: str, attack: _Attack) -> list[Figure]:
    return [
        Figure(
            name=f"{name}: errors of good clients",
            target="0",
            measured=f"{attack.fared}; {attack.did}",
            ok=not attack.fared.failures and attack.is_fended_off,
        ),
        Figure(
            name=f"{name}: memory of the server",
            target="at most 10 MB more afterwards",
            measured=f"{attack.growth / _MEGABYTE:+.1f} MB afterwards, {attack.peak / _MEGABYTE:+.1f} MB at most",
            ok=attack.growth <= _GROWTH,
        ),
    ]
