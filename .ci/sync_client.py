"""Generates the synchronous client from the asynchronous one into DIR/commontrace/client/sync.

Usage: python .ci/sync_client.py DIR, in the repository. `calls.py` and `__init__.py` are written by hand on both sides.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import unasync

SOURCES = Path("src/commontrace/client/aio")
BY_HAND = {"__init__.py", "calls.py"}
HEADER = "# Generated from the asynchronous client by `make generate`. Do not edit.\n"
WORDS = {"aio": "sync", "aclosing": "closing", "aclose": "close", "anext": "next"}
RUFF = (Path(sys.executable).parent / "ruff", "--quiet", "--config", "pyproject.toml")


def main() -> None:
    """Takes the directory from the command line."""
    target = Path(sys.argv[1]) / "commontrace/client/sync"
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.py"):
        if old.name not in BY_HAND:
            old.unlink()
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(SOURCES, Path(directory) / "aio", ignore=shutil.ignore_patterns("__pycache__", *BY_HAND))
        files = [str(path) for path in (Path(directory) / "aio").glob("*.py")]
        unasync.unasync_files(files, [unasync.Rule("/aio/", "/sync/", WORDS)])
        generated = Path(directory) / "sync"
        for path in generated.glob("*.py"):
            path.write_text(HEADER + path.read_text())
        # What ruff takes for ours is otherwise what it finds, and some of it is being generated.
        ours = ("--config", "lint.isort.known-first-party = ['commontrace']")
        subprocess.run([*RUFF, *ours, "check", "--select", "I,UP028", "--fix", "--unsafe-fixes", generated], check=True)
        subprocess.run([*RUFF, "format", generated], check=True)
        shutil.copytree(generated, target, dirs_exist_ok=True)


main()
