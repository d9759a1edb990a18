"""Python interpreters on this machine that the package supports."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_OLDEST_MINOR = 11
"""Of Python 3; `requires-python` says it, too."""
_NEWEST_MINOR = 30


@cache
def supported_interpreters() -> tuple[Path, ...]:
    """Returns one interpreter for each minor version that is found on PATH or in pyenv, oldest first."""
    return tuple(
        found for minor in range(_OLDEST_MINOR, _NEWEST_MINOR) if (found := next(_working(minor), None)) is not None
    )


def _working(minor: int) -> Iterator[Path]:
    name = f"python3.{minor}"
    on_path = shutil.which(name)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for candidate in [*([Path(on_path)] if on_path else []), *sorted(pyenv.glob(f"versions/*/bin/{name}"))]:
        # A shim of pyenv is there for versions that are not selected, and fails.
        program = "import sys; print(sys.executable)"
        done = subprocess.run([candidate, "-c", program], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            yield Path(done.stdout.strip())
