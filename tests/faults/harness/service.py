"""Service under test: a Postgres of the rig's own, a proxy before it, and servers that restart on their ports."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.harness.callers import Callers
from tests.faults.harness.figure import Trial
from tests.faults.harness.postgres import DIMENSIONS, FORGETFUL, Postgres, running_postgres
from tests.faults.harness.proxy import Proxy, proxy_before
from tests.faults.server_process import ServerProcess

# Where the time of a call passes in Postgres, not in a model: that is where faults shall hit.
_SETTINGS = {
    "EMBEDDER": "lexical",
    "EMBEDDING_DIMENSIONS": str(DIMENSIONS),
    "LOG_LEVEL": "warning",
    "AUTHENTICATION": "keys",
}
LOG = "servers.log"

# Calls in progress may go on for ten seconds, and be cancelled for five.
_STOP_SECONDS = 30.0


class Server:
    """`commontrace serve` as a process, again and again on one port."""

    def __init__(self, place: Path, settings: dict[str, str], *, without: str | None = None) -> None:
        """Takes where it may write, and the name of a protection that is turned off (see `unprotected`)."""
        self._place = place
        self._settings = settings
        self._without = without
        self.process = ServerProcess(place)

    @property
    def address(self) -> str:
        """Where it listens, from its first start on."""
        return self.process.address

    async def start(self) -> None:
        """Returns when it is ready."""
        listen = {"LISTEN_ADDRESS": self.address} if self.address else {}
        self.process = ServerProcess(self._place, "--migrate", **_SETTINGS | self._settings | listen)
        self.process.log = self._place / LOG
        if self._without is not None:
            self.process.program = ("-m", "tests.faults.harness.unprotected", self._without)
        await asyncio.to_thread(self.process.__enter__)

    async def stop(self) -> None:
        """Ends it as a supervisor does, with SIGTERM, if it still runs."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        try:
            if self.process.is_running:
                self.process.signal(signal.SIGTERM)
                self.process.wait(_STOP_SECONDS)
        finally:
            self.process.__exit__(None, None, None)

    async def kill(self) -> None:
        """Kills it with -9 and starts it again."""
        self.process.kill()
        await self.stop()
        await self.start()


@dataclass(frozen=True, kw_only=True)
class Service:
    """All of it."""

    postgres: Postgres
    callers: Callers
    proxy: Proxy
    servers: list[Server]

    @property
    def server(self) -> Server:
        """The first, where there is but one."""
        return self.servers[0]


@asynccontextmanager
async def running_service(
    trial: Trial, *, servers: int = 1, is_forgetful: bool = False, without: str | None = None, **settings: str
) -> AsyncIterator[Service]:
    """Yields servers that reach a new Postgres through the proxy.

    With `is_forgetful`, Postgres acknowledges what a crash takes back; `without` is what servers do not have.
    """
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(running_postgres(trial.place, **(FORGETFUL if is_forgetful else {})))
        if is_forgetful:
            # A server would not start on it.
            settings["ALLOW_UNSAFE_POSTGRES"] = "true"
        proxy = await stack.enter_async_context(proxy_before(postgres.socket))
        url = f"postgresql://postgres@{proxy.address}/postgres?sslmode=disable"
        running = [Server(trial.place, {"DATABASE_URL": url, **settings}, without=without) for _ in range(servers)]
        for server in running:
            stack.push_async_callback(server.stop)
            await server.start()
        if is_forgetful:
            # What it may forget are calls, not the tables.
            await postgres.ask("CHECKPOINT")
        yield Service(postgres=postgres, callers=Callers(postgres.url), proxy=proxy, servers=running)
