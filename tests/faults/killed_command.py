"""A command of `commontrace` that is killed at a moment of its work."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from commontrace.storage import engines
from tests.faults.server_process import environment

_ASKS_EVERY_SECONDS = 0.002


async def killed(
    place: Path,
    url: str,
    *arguments: str,
    is_due: Callable[[AsyncConnection], Awaitable[bool]],
    settings: Mapping[str, str],
) -> bool:
    """Starts the command and kills it as soon as `is_due` of the database; False if it was done before."""
    running = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        # Slower than whoever looks for the moment, where other tests run beside it.
        ["nice", "-n", "4", sys.executable, "-m", "commontrace", *arguments],  # noqa: S607 - it may be anywhere
        env=environment(place, DATABASE_URL=url, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    engine = engines.unpooled(url)
    try:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            while running.poll() is None:
                if await is_due(connection):
                    running.kill()
                await asyncio.sleep(_ASKS_EVERY_SECONDS)
    finally:
        running.kill()
        _, said = await asyncio.to_thread(running.communicate)
        await engine.dispose()
    assert running.returncode in (0, -9), said.decode()
    return running.returncode == -9


async def has_reached(connection: AsyncConnection, sql: str, least: int) -> bool:
    """Tells whether the number that the statement returns is `least` or more."""
    return bool((await connection.exec_driver_sql(sql)).scalar_one() >= least)
