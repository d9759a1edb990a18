"""A clock that processes take for the real one, and that a test moves while they run (libfaketime)."""

import time
from pathlib import Path

INSTALL = "apt-get install --yes faketime"

_LIBRARIES = ("/usr/lib/*/faketime", "/usr/lib/faketime", "/usr/local/lib/faketime")
_LAUNCHER = '''"""Starts Postgres as the service does, with what the service keeps from it."""

import runpy
import sys

launch = runpy.run_path({launcher!r})["launch"]
launch.__globals__["_ENVIRONMENT"].update({environment!r})
launch(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
'''


class FakeClock:
    """The real time and some more; none when it is made. What does not tell the time of day runs as ever."""

    def __init__(self, place: Path) -> None:
        """Takes a directory of its own."""
        libraries = sorted(
            path for pattern in _LIBRARIES for path in Path("/").glob(f"{pattern[1:]}/libfaketimeMT.so.1")
        )
        assert libraries, f"libfaketime is not installed: {INSTALL}"
        place.mkdir(exist_ok=True)
        self._place, self._file = place, place / "offset"
        self.move("+0")
        self.environment = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        """For processes that are to believe it."""

    def move(self, offset: str) -> None:
        """Lets the clock go so much ahead (`+3600`, `+1d`) or behind (`-1d`) of the real one, at once."""
        new = self._file.with_name("new")
        new.write_text(offset)
        new.replace(self._file)

    def launcher(self, original: str) -> str:
        """Returns the file of a launcher that lets an embedded Postgres believe it, too."""
        file = self._place / "launcher.py"
        file.write_text(_LAUNCHER.format(launcher=original, environment=self.environment))
        return str(file)

    @staticmethod
    def real() -> float:
        """Returns the seconds since 1970, as whoever does not believe it counts them."""
        return time.time()
