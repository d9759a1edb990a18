"""The processes that a run starts: a server, and drivers that are told what to ask."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.closed_loop import Answers
from bench.failures import RunFailed
from bench.import_orders import ImportTask
from bench.orders import Task
from commontrace.settings import Settings

_READY = " ready on "
# A reply holds a number for every call.
_LINE_BYTES = 1 << 26


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerProcess:
    """A server that takes calls."""

    address: str
    pid: int


@asynccontextmanager
async def serving(database_url: str, log: Path, settings: Mapping[str, str]) -> AsyncIterator[ServerProcess]:
    """Yields a server with these settings and nothing of this process's own; its log goes to a file."""
    ours = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name.upper() not in ours}
    environment |= {"DATABASE_URL": database_url, "LISTEN_ADDRESS": "127.0.0.1:0"} | dict(settings)
    async with answering("commontrace", "serve", environment=environment, log=log) as process:
        yield process


@asynccontextmanager
async def answering(
    module: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[ServerProcess]:
    """Yields a server that says where it is ready; its log goes to a file. Raises RunFailed."""
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            process_group=0,
        )
        try:
            _, ready, address = (await _line(process)).partition(_READY)
            if not ready:
                raise RunFailed(f"the server did not start; its log ends with: {_end_of(log)}")
            yield ServerProcess(address=address.strip(), pid=process.pid)
        finally:
            await _stop(process)


class Driver:
    """A process that asks."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        """Takes a process that obeys orders."""
        self.pid = process.pid
        self._process = process
        self._name = name

    async def run(self, search: str, *, callers: int, seconds: float) -> Answers:
        """Lets it ask for so long and returns what it saw. Raises RunFailed."""
        order = {"search": search, "callers": callers, "seconds": seconds}
        return Answers(**await self.order(json.dumps(order)))

    async def order(self, order: str) -> dict[str, Any]:
        """Sends one line and returns the reply. Raises RunFailed."""
        assert self._process.stdin is not None
        self._process.stdin.write(order.encode() + b"\n")
        return await self.reply()

    async def reply(self) -> dict[str, Any]:
        """Returns the next reply. Raises RunFailed."""
        line = await _line(self._process)
        if not line:
            raise RunFailed(f"{self._name} has ended; its own message is above")
        message: dict[str, Any] = json.loads(line)
        return message


@asynccontextmanager
async def driving(task: Task | ImportTask, *modules: str) -> AsyncIterator[list[Driver]]:
    """Yields a driver for each module when all are ready: what still starts would slow down what is measured."""
    async with AsyncExitStack() as started:
        drivers = []
        for module in modules:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                json.dumps(asdict(task)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                limit=_LINE_BYTES,
                process_group=0,
            )
            started.push_async_callback(_stop, process)
            drivers.append(Driver(process, module))
        for driver in drivers:
            await driver.reply()
        yield drivers


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    await process.wait()


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]
