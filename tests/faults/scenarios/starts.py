"""Servers that start at once on an empty database: one migrates it, the others wait, all serve."""

import asyncio

from commontrace.client import connect
from tests.faults.harness.callers import Callers
from tests.faults.harness.figure import Figure, Trial
from tests.faults.harness.postgres import running_postgres
from tests.faults.harness.service import Server
from tests.faults.harness.unprotected import MIGRATION_LOCK

_SERVERS, _FEW_SERVERS = 5, 3
_WHOLE = 0.1


async def measure(trial: Trial) -> list[Figure]:
    """Unprotected: nobody waits for whoever migrates."""
    times, servers_at_once = trial.times(20), _SERVERS if trial.scale >= _WHOLE else _FEW_SERVERS
    failures: list[str] = []
    async with running_postgres(trial.place) as postgres:
        for number in range(times):
            database = f"start_{number}"
            await postgres.ask(f"CREATE DATABASE {database}")
            url = postgres.url.replace("/postgres?", f"/{database}?")
            callers = Callers(url)
            without = None if trial.protected else MIGRATION_LOCK
            servers = [Server(trial.place, {"DATABASE_URL": url}, without=without) for _ in range(servers_at_once)]
            started = await asyncio.gather(*(_started(server, callers) for server in servers), return_exceptions=True)
            failures += [_last_line(failure) for failure in started if failure is not None]
            await asyncio.gather(*(server.stop() for server in servers if server.address))
            await postgres.ask(f"DROP DATABASE {database} WITH (FORCE)")
    return [
        Figure(
            name=f"failed of {servers_at_once} servers that start at once on an empty database",
            target="0",
            measured=f"{len(failures)} of {times * servers_at_once}"
            + "".join(f"; {reason}" for reason in failures[:1]),
            ok=not failures,
        )
    ]


async def _started(server: Server, callers: Callers) -> None:
    await server.start()
    async with connect(server.address, key=await callers.key()) as client:
        await client.contribute("It fails", "When it starts.", "Start it once.")


def _last_line(failure: BaseException) -> str:
    """Returns what it says at its end, log lines apart."""
    lines = [line for line in str(failure).splitlines() if line and not line.startswith("{")]
    return "".join(lines[-1:])[-200:]
