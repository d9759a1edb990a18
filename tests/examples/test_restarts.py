"""Calls of the programs of examples/ while the server is restarted."""

import asyncio
import re
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from pathlib import Path

from tests.examples.programs import Program
from tests.examples.shell import ended, started
from tests.faults.server_process import ServerProcess

RESTARTS = 10
# Of eight callers, on a busy machine: fewer would hardly meet a server that stops.
LEAST_CALLS = 100
SERVING_SECONDS, END_SECONDS = 1.5, 60.0


async def test_no_call_fails_in_ten_restarts(programs: list[Program], tmp_path: Path, unused_tcp_port: int) -> None:
    address = f"127.0.0.1:{unused_tcp_port}"
    server = ServerProcess(tmp_path, LISTEN_ADDRESS=address, EMBEDDER="lexical")
    async with AsyncExitStack() as stack:
        with server:
            settings = {"COMMONTRACE_ADDRESS": address}
            processes = [
                await stack.enter_async_context(
                    started(program.call_on, place=program.place, settings=settings, stdin=PIPE)
                )
                for program in programs
            ]
            await asyncio.sleep(SERVING_SECONDS)
        for _ in range(RESTARTS - 1):
            with server:
                await asyncio.sleep(SERVING_SECONDS)
        with server:
            await asyncio.sleep(SERVING_SECONDS)
            outcomes = [await ended(process, seconds=END_SECONDS) for process in processes]
    for said in outcomes:
        assert said.status == 0, f"{said.stdout}{said.stderr}"
        [calls] = re.findall(r"^(\d+) calls$", said.stdout, re.MULTILINE)
        assert int(calls) > LEAST_CALLS
