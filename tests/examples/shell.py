"""Commands as somebody types them, the development tools on the path."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Exit status and output of a command."""

    status: int
    stdout: str
    stderr: str


@asynccontextmanager
async def started(
    command: str, *, place: Path, settings: dict[str, str], stdin: int = asyncio.subprocess.DEVNULL
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Starts a command; what still runs in the end is ended, with all that it started."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", command),
        cwd=place,
        env=os.environ | {"PATH": tools, "CGO_ENABLED": "0"} | settings,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        process_group=0,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def ended(process: asyncio.subprocess.Process, *, seconds: float) -> Ended:
    """Closes what a command reads and returns what it leaves behind. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        stdout, stderr = await process.communicate(None if process.stdin is None else b"")
    return Ended(status=await process.wait(), stdout=stdout.decode(), stderr=stderr.decode())


async def run(command: str, *, place: Path, seconds: float, **settings: str) -> Ended:
    """Runs a command to its end; one that takes longer is ended."""
    async with started(command, place=place, settings=settings) as process:
        return await ended(process, seconds=seconds)
