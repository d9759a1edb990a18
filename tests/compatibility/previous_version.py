"""The version of before, built from the history by its own Makefile into an environment of its own."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_INSTALL_SECONDS = 900.0


class NoHistory(Exception):
    """The commit of the previous version is not to be had. The message says what to do."""


@dataclass(frozen=True, kw_only=True)
class PreviousVersion:
    """An installed version: its sources, and what runs its server and its client."""

    place: Path

    @property
    def python(self) -> Path:
        """Its interpreter, which imports its `commontrace` and nothing of the newest one."""
        return self.place / ".venv/bin/python"


def install(repository: Path, commit: str, place: Path) -> PreviousVersion:
    """Installs the version of a commit below `place`, with the dependencies that it was locked to; takes a minute."""
    shutil.rmtree(place, ignore_errors=True)  # an attempt that failed
    unpack(repository, commit, place)
    # What make tells those that it starts is of the newest version.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))
    }
    made = subprocess.run(
        ["make", f"PYTHON={sys.executable}", ".venv/ready"],  # noqa: S607 - whichever make runs the tests
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS,
        check=False,
    )
    assert made.returncode == 0, f"{commit} cannot be installed:\n{made.stdout}\n{made.stderr}"
    return PreviousVersion(place=place)


def unpack(repository: Path, commit: str, place: Path) -> None:
    """Writes the files of a commit. Raises NoHistory."""
    git = _git(repository, commit)
    archive = place.with_suffix(".tar")
    subprocess.run([*git, "archive", "--output", archive, commit], check=True)
    place.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", place], check=True)  # noqa: S607
    archive.unlink()


def _git(repository: Path, commit: str) -> list[str]:
    """The command that reads the repository, which has the commit. Raises NoHistory."""
    found = shutil.which("git")
    if found is None:
        raise NoHistory(f"version {commit} is built from the history, and `git` is not on the PATH: install git")
    git = [found, "-C", str(repository)]
    if problem := _failure([*git, "rev-parse", "--git-dir"]):
        raise NoHistory(
            f"version {commit} is built from the history, and {repository} is no clone that git reads ({problem}):"
            " run these tests in a clone of the repository"
        )
    if _failure([*git, "cat-file", "-e", f"{commit}^{{commit}}"]):
        shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], capture_output=True, check=True)
        cure = "git fetch --unshallow" if shallow.stdout.strip() == b"true" else "git fetch --all"
        raise NoHistory(f"version {commit} is built from the history, and this clone lacks it: run `{cure}`")
    return git


def _failure(command: list[str]) -> str:
    """What a command that failed said; empty if it did not fail."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if ended.returncode == 0 else ended.stderr.strip() or "it failed"
