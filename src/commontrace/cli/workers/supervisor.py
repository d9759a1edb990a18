"""Supervisor of `commontrace serve --workers`: starts worker processes, restarts those that end, and drains them."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from commontrace.backoff import backoff_seconds
from commontrace.serving.not_ready import NotReady

log = structlog.get_logger()

_FIRST_RESTART_SECONDS, _LONGEST_RESTART_SECONDS = 0.1, 30.0
# After serving for so long, a worker counts as healthy: its end begins a new back-off.
_HEALTHY_SECONDS = 60.0
# A worker needs these beyond its grace period, to cancel calls and close connections.
_EXIT_SECONDS = 15.0


class WorkerSupervisor:
    """Worker processes on one port, each a new interpreter, because gRPC does not survive a fork.

    Each job holds the `url` of the database, and `settings` that replace those of the environment.
    """

    def __init__(self, jobs: Sequence[Mapping[str, object]]) -> None:
        self._jobs = [json.dumps(job).encode() + b"\n" for job in jobs]
        self._processes: set[Process] = set()
        self._serving: set[int] = set()
        self.all_serve = asyncio.Event()
        """Set once all workers have served at the same time."""

    async def run_worker(self, number: int) -> None:
        """Runs the worker with an index from 0 and restarts it whenever it ends; a cancellation leaves it running.

        Raises NotReady where a worker cannot serve and no other does.
        """
        failures, clock = 0, asyncio.get_running_loop()
        while True:
            began = clock.time()
            worker = await self._start(self._jobs[number])
            refused = await self._read_status(worker)
            if refused is None:
                self._serving.add(worker.pid)
                if len(self._serving) == len(self._jobs):
                    self.all_serve.set()
            exit_code = await worker.wait()
            self._serving.discard(worker.pid)
            self._processes.discard(worker)
            if refused is not None and not (self.all_serve.is_set() and self._serving):
                raise NotReady(refused or f"a worker ended with {exit_code} before it served")
            failures = 1 if clock.time() - began > _HEALTHY_SECONDS else failures + 1
            seconds = backoff_seconds(failures, first=_FIRST_RESTART_SECONDS, longest=_LONGEST_RESTART_SECONDS)
            why = {"why": refused} if refused else {}
            log.error(
                "a worker has ended", pid=worker.pid, exit_code=exit_code, restart_seconds=round(seconds, 3), **why
            )
            await asyncio.sleep(seconds)

    async def stop(self, *, within_seconds: float, hurry: asyncio.Event) -> None:
        """Sends SIGTERM to all workers, waits until they have drained and ended, and kills those that are late.

        A worker may take `within_seconds` to drain. Setting `hurry` sends SIGTERM again, which shortens the drain.
        """
        self._terminate()
        ends = [asyncio.create_task(process.wait()) for process in self._processes]
        if not ends:
            return
        again = asyncio.create_task(self._terminate_after(hurry))
        _, late = await asyncio.wait(ends, timeout=within_seconds + _EXIT_SECONDS)
        again.cancel()
        if late:
            for process in self._processes:
                with suppress(ProcessLookupError):
                    process.kill()
            await asyncio.wait(late)

    async def _terminate_after(self, hurry: asyncio.Event) -> None:
        await hurry.wait()
        self._terminate()

    def _terminate(self) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.terminate()

    async def _start(self, job: bytes) -> Process:
        # A session of its own, so that Ctrl-C reaches only the supervisor.
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "commontrace.cli.workers.process",
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,
        )
        self._processes.add(worker)
        assert worker.stdin is not None  # noqa: S101 - for the types
        # Never closed: the worker takes its end for that of the supervisor.
        worker.stdin.write(job)
        return worker

    async def _read_status(self, worker: Process) -> str | None:
        """Returns None once the worker serves; else why it cannot, empty if it ended without a reason."""
        assert worker.stdout is not None  # noqa: S101 - for the types
        line = await worker.stdout.readline()
        return json.loads(line).get("refused") if line else ""
