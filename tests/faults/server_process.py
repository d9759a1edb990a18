"""`commontrace` as processes of their own, as whoever types or supervises them sees them."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.processes import wait_until_gone

_READY = "commontrace ready on "
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0


def environment(place: Path, **settings: str) -> dict[str, str]:
    """Nothing of the environment of whoever runs the tests, and everything below `place`."""
    defaults = {"PATH": os.environ["PATH"], "HOME": str(place), "DATA_DIR": str(place / "data")}
    # The Postgres that tests share does without fsync.
    return defaults | {"LISTEN_ADDRESS": "127.0.0.1:0", "ALLOW_UNSAFE_POSTGRES": "true"} | settings


def run_command(place: Path, *arguments: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs `commontrace` with these arguments to its end. What is not UTF-8 stands as lone surrogates in strings."""
    return subprocess.run(
        [sys.executable, "-m", "commontrace", *arguments],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env=environment(place, **settings),
        timeout=_START_SECONDS,
        check=False,
    )


class ServerProcess:
    """A running `commontrace serve` with its data in `place / "data"`, its process group its own.

    Entering waits for the ready line; leaving stops what still runs and waits until its Postgres is gone too.
    """

    program: tuple[str, ...] = ("-m", "commontrace")
    """What Python runs."""

    def __init__(self, place: Path, *arguments: str, **settings: str) -> None:
        self.data_dir = place / "data"
        self.address = ""
        self.program: tuple[str, ...] = ("-m", "commontrace")
        self.python = sys.executable
        """The interpreter, and with it the installed version."""
        self.log: Path | None = None
        """Keeps what it writes to standard error, behind what is there."""
        self.cgroup: Path | None = None
        """Runs in this control group, its Postgres with it."""
        self.seconds_to_ready = 0.0
        self._waits_until_ready = True
        self._arguments = arguments
        self._environment = environment(place, **settings)

    def __enter__(self) -> Self:
        self._launch()
        try:
            if self._waits_until_ready:
                self._await_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def impatient(self) -> Self:
        """Makes entering return at once, with the server still starting."""
        self._waits_until_ready = False
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        try:
            if self._process.poll() is None:
                self.terminate()
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self._stdout.close()
            self._stderr.close()
        wait_until_gone(self.data_dir)

    def _launch(self) -> None:
        # Files, because a pipe that nobody reads would stop the server some day.
        self._stdout = tempfile.TemporaryFile()  # noqa: SIM115 - see __exit__
        self._stderr = tempfile.TemporaryFile() if self.log is None else self.log.open("a+b")  # noqa: SIM115
        self._launched = time.monotonic()
        self._process = subprocess.Popen(
            [self.python, *self.program, "serve", *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=self._stderr,
            env=self._environment,
            process_group=0,
        )
        if self.cgroup is not None:
            # Long before it starts processes of its own.
            (self.cgroup / "cgroup.procs").write_text(str(self.pid))

    def _await_ready(self) -> None:
        deadline = self._launched + _START_SECONDS
        while "\n" not in self.stdout:
            assert self._process.poll() is None, f"ended with {self._process.returncode}: {self.stderr[-2000:]}"
            assert time.monotonic() < deadline, f"not ready: {self.stderr[-2000:]}"
            time.sleep(0.002)
        self.seconds_to_ready = time.monotonic() - self._launched
        first_line = self.stdout.partition("\n")[0]
        assert first_line.startswith(_READY), first_line
        self.address = first_line.removeprefix(_READY)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return bool(self.address) and self._process.poll() is None

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def postgres_pid(self) -> int:
        """The postmaster's, as it says itself."""
        [file] = self.data_dir.glob("postgres-*/postmaster.pid")
        return int(file.read_text().partition("\n")[0])

    @property
    def resident_bytes(self) -> int:
        """How much memory the server holds, without its Postgres."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    @property
    def stdout(self) -> str:
        return _content(self._stdout.fileno())

    @property
    def stderr(self) -> str:
        return _content(self._stderr.fileno())

    def kill(self) -> None:
        """Kills the server, and only the server, with -9."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """Sends SIGTERM and returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def interrupt(self) -> int:
        """Does what Ctrl-C does, which reaches the whole process group, and returns the exit code."""
        self.signal(signal.SIGINT, whole_group=True)
        return self.wait()

    def signal(self, number: signal.Signals, *, whole_group: bool = False) -> None:
        if whole_group:
            os.killpg(self.pid, number)
        else:
            self._process.send_signal(number)

    def wait(self, seconds: float = _STOP_SECONDS) -> int:
        """Returns the exit code, which is the negated signal's number for a process that one ended."""
        return self._process.wait(seconds)


def _content(descriptor: int) -> str:
    # Not through the file object: the child writes where this descriptor, which it shares, points to.
    return os.pread(descriptor, 1 << 24, 0).decode(errors="replace")
