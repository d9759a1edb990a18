"""Callers without a key that is known, in every way that costs: users, health and memory stay as they are."""

import asyncio
from collections.abc import Iterable

from tests.faults.harness.attacks import MEGABYTE, Attack, attacked, sent_by
from tests.faults.harness.callers import callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.good_clients import Fared, good_clients
from tests.faults.harness.probe import probed
from tests.faults.harness.servers import server
from tests.faults.harness.strangers import STANDARD, WAYS

_SECONDS, _LEAST_SECONDS, _STANDARD_CALLS = 6.0, 1.0, 1_000
_MOST_BYTES = 64 * MEGABYTE


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: any number of messages to health and reflection is waited for."""
    attacks: dict[str, Attack] = {}
    probes: dict[str, Fared] = {}
    with server(trial, "strangers") as running:
        good = await callers_of(running).metadata("good@example.org")
        async with good_clients(running.address, good):
            await asyncio.sleep(1.0)
        for way in WAYS:
            async with (
                attacked(running, good, settles=way == STANDARD) as attack,
                probed(running.address) as probes[way],
            ):
                attack.did = await _attack(running.address, way, trial)
            attacks[way] = attack
    users = [attack.fared for attack in attacks.values()]
    return [
        Figure(
            name="strangers: errors of good clients",
            target="0",
            measured="; ".join([str(_together(users)), *(f"{way}: {attack.did}" for way, attack in attacks.items())]),
            ok=all(fared.took and not fared.failures for fared in users),
        ),
        Figure(
            name="strangers: health checks that fail, or take more than 1 s",
            target="0",
            measured=_health(_together(probes.values())),
            ok=all(fared.took and not fared.failures for fared in probes.values()),
        ),
        *(
            Figure(
                name=f"strangers, {way}: memory of the server",
                target=f"at most {_MOST_BYTES // MEGABYTE} MB more",
                measured=attack.memory,
                ok=attack.peak <= _MOST_BYTES,
            )
            for way, attack in attacks.items()
        ),
    ]


async def _attack(address: str, way: str, trial: Trial) -> str:
    """Returns what strangers did."""
    seconds, count = max(_LEAST_SECONDS, _SECONDS * trial.scale), trial.times(_STANDARD_CALLS)
    return await sent_by("strangers", address, way, str(seconds), str(count))


def _together(several: Iterable[Fared]) -> Fared:
    whole = Fared()
    for fared in several:
        whole.took += fared.took
        whole.failures += fared.failures
    return whole


def _health(fared: Fared) -> str:
    failed = ", ".join(f"{count} {answer}" for answer, count in fared.failures.items()) or "0"
    return f"{failed} of {len(fared.took)}, the slowest took {max(fared.took):.2f} s"
