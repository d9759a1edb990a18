"""One user takes all there is, in every way: what is left for others."""

import asyncio

import grpc

from commontrace.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.faults.harness.attacks import MEGABYTE, attacked, sent_by
from tests.faults.harness.callers import callers_of
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.good_clients import good_clients
from tests.faults.harness.greedy_user import UNREAD_ANSWERS, WAYS
from tests.faults.harness.servers import null_server, server
from tests.support.builders import a_contribution
from tests.support.keys import Metadata

_SECONDS = 8.0
_TRACES, _LARGE_TRACES = 200, 30
_MOST_BYTES = 180 * MEGABYTE
# By then, callers give up.
_MOST_SECONDS = 1.0


async def measure(trial: Trial) -> list[Figure]:
    """Lets a user be greedy: with a server that does nothing, to compare with, and with ours, which asks for keys."""
    # A short cut takes the first and the last.
    ways = WAYS if trial.scale >= 1 else (WAYS[0], UNREAD_ANSWERS)
    nothing, ours = {}, {}
    with null_server(trial) as running:
        for way in ways:
            async with good_clients(running.address) as fared:
                await _take(running.address, way, trial)
            nothing[way] = fared
    with server(trial, "shares") as running:
        callers = callers_of(running)
        good, greedy = [await callers.metadata(f"{name}@example.org") for name in ("good", "greedy")]
        await _store(running.address, good)
        async with good_clients(running.address, good):
            await asyncio.sleep(1.0)
        for way in ways:
            async with attacked(running, good, settles=way == UNREAD_ANSWERS) as attack:
                attack.did = await _take(running.address, way, trial, greedy)
            ours[way] = attack
    return [
        Figure(
            name="one user takes all there is: errors of others",
            target="0",
            measured="; ".join(f"{way}: {attack.fared}, the greedy got {attack.did}" for way, attack in ours.items()),
            ok=all(attack.fared.took and not attack.fared.failures for attack in ours.values()),
        ),
        Figure(
            name="one user takes all there is: p99 of others",
            target=f"at most {_MOST_SECONDS:g} s",
            measured="; ".join(
                f"{way}: {1000 * attack.fared.p99:.0f} ms, {1000 * nothing[way].p99:.0f} ms with nothing"
                for way, attack in ours.items()
            ),
            ok=all(attack.fared.p99 <= _MOST_SECONDS for attack in ours.values()),
        ),
        Figure(
            name="one user reads no answer: memory of the server",
            target="at most 180 MB more",
            measured=ours[UNREAD_ANSWERS].memory,
            ok=ours[UNREAD_ANSWERS].peak <= _MOST_BYTES,
        ),
    ]


async def _store(address: str, metadata: Metadata) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        traces = TraceServiceStub(channel)
        for number in range(_TRACES):
            await traces.CreateTrace(a_contribution(number), metadata=metadata)
        large = "x" * 50_000
        for number in range(_LARGE_TRACES):
            await traces.CreateTrace(a_contribution(number, context=large, solution=large), metadata=metadata)


async def _take(address: str, way: str, trial: Trial, metadata: Metadata = ()) -> str:
    """Returns how the greedy user was answered."""
    seconds = str(max(1.0, trial.scale * _SECONDS))
    return await sent_by("greedy_user", address, way, seconds, *(value for _, value in metadata))
