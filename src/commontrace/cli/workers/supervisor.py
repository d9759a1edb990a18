"""The supervisor of `commontrace serve --workers`: starts the processes that serve, and starts again what ends."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from commontrace.domain.backoff import pause
from commontrace.serving.not_ready import NotReady

log = structlog.get_logger()

_FIRST_RESTART_SECONDS, _LONGEST_RESTART_SECONDS = 0.1, 30.0
# A worker that served for as long was sound: its end is the first of a new series.
_SOUND_SECONDS = 60.0
# Beyond the grace, a server waits for cancelled calls and for its connections.
_END_SECONDS = 15.0


class Workers:
    """Processes that serve on one port, each a new interpreter: gRPC does not survive a fork."""

    def __init__(self, jobs: Sequence[Mapping[str, object]]) -> None:
        """Takes what each is told: `url` of the database and `settings` that replace those of the environment."""
        self._jobs = [json.dumps(job).encode() + b"\n" for job in jobs]
        self._processes: set[Process] = set()
        self._serving: set[int] = set()
        self.all_serve = asyncio.Event()
        """Set once all have served at the same time."""

    async def keep_one(self, number: int) -> None:
        """Runs the worker of that number, from 0, until cancelled, which leaves it running.

        Raises NotReady where none can serve.
        """
        failures, clock = 0, asyncio.get_running_loop()
        while True:
            began = clock.time()
            worker = await self._start(self._jobs[number])
            refused = await self._first_word(worker)
            if refused is None:
                self._serving.add(worker.pid)
                if len(self._serving) == len(self._jobs):
                    self.all_serve.set()
            exit_code = await worker.wait()
            self._serving.discard(worker.pid)
            self._processes.discard(worker)
            if refused is not None and not (self.all_serve.is_set() and self._serving):
                raise NotReady(refused or f"a worker ended with {exit_code} before it served")
            failures = 1 if clock.time() - began > _SOUND_SECONDS else failures + 1
            seconds = pause(failures, least=_FIRST_RESTART_SECONDS, most=_LONGEST_RESTART_SECONDS)
            why = {"why": refused} if refused else {}
            log.error("a worker has ended", pid=worker.pid, exit_code=exit_code, restart_seconds=seconds, **why)
            await asyncio.sleep(seconds)

    async def stop(self, *, within_seconds: float, hurry: asyncio.Event) -> None:
        """Lets every worker finish its calls in the time it has, and returns when all have ended.

        When `hurry` is set, they are told again.
        """
        self._terminate()
        ends = [asyncio.create_task(process.wait()) for process in self._processes]
        if not ends:
            return
        again = asyncio.create_task(self._terminate_after(hurry))
        _, late = await asyncio.wait(ends, timeout=within_seconds + _END_SECONDS)
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
        # Never closed: its end tells the worker that the supervisor is gone.
        worker.stdin.write(job)
        return worker

    async def _first_word(self, worker: Process) -> str | None:
        """Returns None once the worker serves, or why it does not, "" where it has not said."""
        assert worker.stdout is not None  # noqa: S101 - for the types
        line = await worker.stdout.readline()
        return json.loads(line).get("refused") if line else ""
