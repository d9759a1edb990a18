"""Peers that mean harm: what they cost those who do not, and the server."""

import asyncio

from tests.faults.harness.attacks import MEGABYTE, SETTLE_SECONDS, Attack, attacked
from tests.faults.harness.callers import callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.good_clients import good_clients
from tests.faults.harness.hostile_peers import (
    idle,
    keep_silent,
    reset_rapidly,
    send_compressed_zeros,
    send_large_metadata,
)
from tests.faults.harness.servers import server

_RESET_SECONDS, _CONNECTIONS, _ZEROS, _TIMES = 5.0, 1_000, 200_000_000, 20
_HANDSHAKE_SECONDS = 6.0
_WARM_SECONDS = 3.0
_GROWTH = 10 * MEGABYTE


async def measure(trial: Trial) -> list[Figure]:
    """One attack after the other, on a server whose good clients never pause."""
    figures = []
    with server(trial, "transport limits") as running:
        key = await callers_of(running).metadata()
        async with good_clients(running.address, key):
            await asyncio.sleep(max(1.0, _WARM_SECONDS * trial.scale))
        # First: without limits, the memory that resets leave to the allocator is room enough for zeros.
        async with attacked(running, key) as attack:
            attack.did, attack.is_fended_off = await send_compressed_zeros(
                running.address, trial.times(_ZEROS), trial.times(_TIMES), key
            )
        figures += _figures("compressed zeros", attack)
        async with attacked(running, key) as attack:
            attack.did = await reset_rapidly(running.address, max(1.0, _RESET_SECONDS * trial.scale))
        figures += _figures("rapid resets", attack)
        async with attacked(running, key) as attack:
            attack.did, lasted = await keep_silent(running.address, trial.times(_CONNECTIONS))
            attack.is_fended_off = lasted <= _HANDSHAKE_SECONDS
        figures += _figures("silent connections", attack)
        async with attacked(running, key) as attack:
            async with idle(running.address, trial.times(_CONNECTIONS)):
                await asyncio.sleep(max(0.5, SETTLE_SECONDS * trial.scale))
            attack.did = f"{trial.times(_CONNECTIONS):,} idle connections"
        figures += _figures("idle connections", attack)
        async with attacked(running, key) as attack:
            attack.did, attack.is_fended_off = await send_large_metadata(running.address, trial.times(_TIMES), key)
        figures += _figures("large metadata", attack)
    return figures


def _figures(name: str, attack: Attack) -> list[Figure]:
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
            measured=f"{attack.growth / MEGABYTE:+.1f} MB afterwards, {attack.peak / MEGABYTE:+.1f} MB at most",
            ok=attack.growth <= _GROWTH,
        ),
    ]
