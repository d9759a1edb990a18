"""A checkout of its own, installed as `make` does it, whose commands are typed as a reader types them."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.processes import wait_until_gone
from tests.support.repository import REPOSITORY

_COPIED = ("src", "migrations", "fixtures", "docs")
_FILES = (
    "Makefile",
    "pyproject.toml",
    "README.md",
    "requirements.lock",
    "requirements-uv.lock",
    "requirements-dev.lock",
)
# As installers write it where the path has spaces.
_COMMAND = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
from commontrace.cli import main

main()
"""


class Checkout:
    """Below `place`: the checkout, and an empty home. What is installed for these tests is installed there, too."""

    def __init__(self, place: Path) -> None:
        self.directory, self._home = place / "checkout", place / "home"
        self._home.mkdir()
        self.directory.mkdir()
        for name in _COPIED:
            shutil.copytree(REPOSITORY / name, self.directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in (*_FILES, ".ci"):
            source = REPOSITORY / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.directory / name)
        self._install()

    @property
    def environment(self) -> dict[str, str]:
        """A plain shell's: nothing of the server's, nothing of who runs the tests."""
        return {"PATH": os.environ["PATH"], "HOME": str(self._home)}

    def shell(
        self, script: str, variables: dict[str, str] | None = None, *, cwd: Path | None = None, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Runs a script to its end, in the checkout unless it is to be elsewhere."""
        return subprocess.run(
            ["/bin/bash", "-uo", "pipefail", "-c", script],
            cwd=cwd or self.directory,
            env=self.environment | (variables or {}),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def _install(self) -> None:
        environment = self.directory / ".venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
        [packages] = environment.glob("lib/python*/site-packages")
        installed = Path(sysconfig.get_paths()["purelib"])
        # Its own sources before those of the checkout that the tests run in.
        (packages / "checkout.pth").write_text(f"{self.directory / 'src'}\n{installed}\n")
        command = environment / "bin" / "commontrace"
        command.write_text(_COMMAND.format(python=environment / "bin" / "python"))
        command.chmod(0o755)
        for stamp in ("uv", "ready", "ready-dev"):
            (environment / stamp).touch()


class MadeServer:
    """`make serve` of a checkout with settings of its own, in a process group of its own."""

    def __init__(self, checkout: Checkout, **settings: str) -> None:
        self._checkout = checkout
        self._settings = {"LISTEN_ADDRESS": "127.0.0.1:0"} | settings
        self.lines: list[str] = []
        """What it says when it is ready."""

    @property
    def address(self) -> str:
        return self.lines[0].removeprefix("commontrace ready on ")

    @property
    def hints(self) -> list[str]:
        """The commands that it proposes."""
        return [line.strip() for line in self.lines[2:]]

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            ["/usr/bin/env", "make", "serve"],
            cwd=self._checkout.directory,
            env=self._checkout.environment | self._settings,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            process_group=0,
        )
        assert self._process.stdout is not None
        # Of one write: the place of the data and two commands follow the address.
        self.lines = [self._process.stdout.readline().rstrip("\n") for _ in range(4)]
        if not self.lines[0].startswith("commontrace ready on "):
            self.__exit__()
            raise AssertionError(f"not ready: {self.said}")
        return self

    @property
    def said(self) -> str:
        """What it has written to standard error."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode()

    def __exit__(self, *_exception: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        wait_until_gone(self._checkout.directory)
        self._log.close()
