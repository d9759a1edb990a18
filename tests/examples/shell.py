"""Commands as somebody types them, the development tools on the path."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a command that ended left behind."""

    status: int
    stdout: str
    stderr: str


async def run(command: str, *, place: Path, seconds: float, **settings: str) -> Ended:
    """Runs a command to its end; one that takes longer is ended, with all that it started."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", command),
        cwd=place,
        env=os.environ | {"PATH": tools, "CGO_ENABLED": "0"} | settings,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        process_group=0,
    )
    try:
        async with asyncio.timeout(seconds):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        status = await process.wait()
    return Ended(status=status, stdout=stdout.decode(), stderr=stderr.decode())
