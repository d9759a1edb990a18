"""Large messages, plain and compressed, one after the other and all at once: what they take of the server's memory."""

import asyncio

from tests.faults.harness.attacks import MEGABYTE, attacked, sent_by
from tests.faults.harness.callers import callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.good_clients import good_clients
from tests.faults.harness.servers import server
from tests.support.keys import Metadata

_IN_SEQUENCE, _AT_ONCE = 200, 1_000
_WITHOUT_KEY, _WITH_KEY, _AFTERWARDS = 64 * MEGABYTE, 350 * MEGABYTE, 64 * MEGABYTE


async def measure(trial: Trial) -> list[Figure]:
    """Sends them without a key, then with one, to a server."""
    with server(trial, "front door") as running:
        callers = callers_of(running)
        good, other = await callers.metadata("good@example.org"), await callers.metadata("other@example.org")
        async with good_clients(running.address, good):
            await asyncio.sleep(1.0)
        async with attacked(running, good) as stranger:
            stranger.did = await _send(running.address, trial, ())
        async with attacked(running, good) as user:
            user.did = await _send(running.address, trial, other)
    return [
        Figure(
            name="large messages without a key: memory of the server",
            target="at most 64 MB more",
            measured=f"{stranger.memory}; {stranger.did}",
            ok=stranger.peak <= _WITHOUT_KEY,
        ),
        Figure(
            name="large messages without a key: errors of good clients",
            target="0",
            measured=f"{stranger.fared}",
            ok=bool(stranger.fared.took) and not stranger.fared.failures,
        ),
        Figure(
            name="large messages with a key: memory of the server",
            target="at most 350 MB more, 64 MB more 6 s afterwards",
            measured=f"{user.memory}; {user.did}",
            ok=user.peak <= _WITH_KEY and user.growth <= _AFTERWARDS,
        ),
    ]


async def _send(address: str, trial: Trial, metadata: Metadata) -> str:
    """Returns how they were answered."""
    counts = (str(trial.times(_IN_SEQUENCE)), str(trial.times(_AT_ONCE)))
    return await sent_by("large_messages", address, *counts, *(value for _, value in metadata))
