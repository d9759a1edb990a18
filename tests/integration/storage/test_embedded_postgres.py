"""The embedded Postgres, run for real, as the user of this suite and, where that is root, as an ordinary user too."""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from commontrace.postgres_memory import default_megabytes
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.embedded_postgres import launcher as embedded_launcher
from tests.integration.storage.postgres_owners import (
    ATTACHER,
    FORBID_NAMESPACES,
    IS_ROOT,
    NOBODY,
    OWNER,
    User,
    modes_above,
    ordinary_user,
    query,
    socket_dir,
)
from tests.support.processes import wait_until_gone


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


@pytest.fixture
def data_dir(user: User, postgres_version: str) -> Iterator[Path]:
    """Shared by the tests of one user and version, so that only the first pays for initdb."""
    yield user.home / f"data-{postgres_version}"
    wait_until_gone(user.home)


def test_first_start_creates_a_durable_private_database(user: User, postgres_version: str) -> None:
    data_dir = user.home / f"deeper-{postgres_version}" / "data"
    before = modes_above(user.home / "any")
    assert user.home.stat().st_mode & 0o777 == 0o700
    with user.owning(data_dir, postgres_version) as owner:
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
        assert query(owner.url, "SHOW server_version_num")[0].startswith(postgres_version)
        assert query(owner.url, "CREATE EXTENSION vector", "SELECT '[1,2]'::vector <-> '[1,4]'") == [2.0]
        assert os.getsid(owner.pid) == owner.pid
        socket = socket_dir(owner.url) / ".s.PGSQL.5432"
        assert socket.parent == data_dir
        assert socket.stat().st_mode & 0o777 == 0o700
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_uid for path in data_dir.rglob("*")} == {user.home.stat().st_uid}
    assert modes_above(user.home / "any") == before
    wait_until_gone(user.home)


def test_warm_start_keeps_the_data_and_only_the_last_log(user: User, data_dir: Path, postgres_version: str) -> None:
    with user.owning(data_dir, postgres_version) as owner:
        query(owner.url, "DROP TABLE IF EXISTS kept", "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
    (data_dir / "postgres.log").write_text("the run before")
    began = time.monotonic()
    with user.owning(data_dir, postgres_version) as owner:
        # Making a database takes longer by far.
        assert time.monotonic() - began < 4
        assert query(owner.url, "SELECT n FROM kept") == [7]
    assert (data_dir / "postgres.log.1").read_text() == "the run before"
    assert "the run before" not in (data_dir / "postgres.log").read_text()


def test_another_process_attaches_while_it_runs(user: User, data_dir: Path, postgres_version: str) -> None:
    with user.owning(data_dir, postgres_version) as owner:
        assert user.run(ATTACHER, str(data_dir)) == owner.url
    assert user.run(ATTACHER, str(data_dir)) == "None"
    assert user.run(ATTACHER, str(data_dir / "absent")) == "None"


def test_second_start_names_the_owner(user: User, data_dir: Path, postgres_version: str) -> None:
    with user.owning(data_dir, postgres_version) as owner:
        told = json.loads(user.run(OWNER, str(data_dir), postgres_version))
        advice = f"process {owner.process.pid}: stop it, or set DATA_DIR to another directory"
        assert told == {"error": "DataDirectoryInUse", "message": f"{data_dir} is in use by {advice}"}
        assert query(owner.url, "SELECT 1") == [1]


@pytest.mark.slow
def test_killed_owner_takes_postgres_along_and_loses_no_commit(
    user: User, data_dir: Path, postgres_version: str
) -> None:
    for n in range(5):
        with user.owning(data_dir, postgres_version) as owner:
            query(
                owner.url,
                "CREATE TABLE IF NOT EXISTS killed (n serial)",
                "INSERT INTO killed DEFAULT VALUES RETURNING n",
            )
            owner.kill()
            if n % 2:  # else the next start has to wait for it
                wait_until_gone(user.home)
        with user.owning(data_dir, postgres_version) as owner:
            assert query(owner.url, "SELECT count(*) FROM killed") == [n + 1]


@pytest.mark.slow
def test_killed_postmaster_recovers_at_the_next_start(user: User, data_dir: Path, postgres_version: str) -> None:
    with user.owning(data_dir, postgres_version) as owner:
        query(owner.url, "DROP TABLE IF EXISTS crashed", "CREATE TABLE crashed AS SELECT 3 AS n", "SELECT 1")
        owner.kill_postmaster()
    with user.owning(data_dir, postgres_version) as owner:
        assert query(owner.url, "SELECT n FROM crashed") == [3]
        assert "was not properly shut down" in (data_dir / "postgres.log").read_text()


def test_lock_files_of_a_killed_run_may_name_the_pid_of_another_process(
    user: User, data_dir: Path, postgres_version: str
) -> None:
    with user.owning(data_dir, postgres_version) as owner:
        owner.kill_postmaster()
        owner.kill()
    wait_until_gone(data_dir)
    with user.popen("import sys; sys.stdin.read()") as other:
        for name in (f"postgres-{postgres_version}/postmaster.pid", ".s.PGSQL.5432.lock"):
            _, _, rest = (data_dir / name).read_text().partition("\n")
            (data_dir / name).write_text(f"{other.pid}\n{rest}")
        assert user.run(ATTACHER, str(data_dir)) == "None"
        with user.owning(data_dir, postgres_version) as owner:
            assert query(owner.url, "SELECT 1") == [1]
        assert other.poll() is None
        other.communicate()


def test_empty_postmaster_file_is_no_obstacle(user: User, data_dir: Path, postgres_version: str) -> None:
    with user.owning(data_dir, postgres_version):
        pass
    (data_dir / f"postgres-{postgres_version}" / "postmaster.pid").touch()
    with user.owning(data_dir, postgres_version) as owner:
        assert query(owner.url, "SELECT 1") == [1]


@pytest.mark.slow
def test_killed_initdb_leaves_no_half_cluster(user: User, postgres_version: str) -> None:
    data_dir = user.home / f"half-{postgres_version}"
    with user.popen(OWNER, str(data_dir), postgres_version) as process:
        deadline = time.monotonic() + 10
        while not any(data_dir.glob("initdb-*/global/*")):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
    assert not (data_dir / f"postgres-{postgres_version}").exists()
    with user.owning(data_dir, postgres_version) as owner:
        assert query(owner.url, "SELECT 1") == [1]
    assert not list(data_dir.glob("initdb-*"))
    wait_until_gone(user.home)


LEAKS = {
    "PORT": "1",
    "DATA": "/nowhere",
    "HOST": "example.org",
    "USER": "x",
    "PASSWORD": "x",
    "PASSFILE": "/nowhere",
    "DATABASE": "x",
    "SERVICE": "x",
    "SERVICEFILE": "/nowhere",
    "OPTIONS": "-c default_transaction_read_only=on",
    "TZ": "Nowhere/X",
    "SSLMODE": "verify-full",
    "SSLROOTCERT": "/nowhere",
    "SSLNEGOTIATION": "direct",
    "TARGETSESSIONATTRS": "standby",
    "GSSLIB": "x",
    "KRBSRVNAME": "x",
    "APPNAME": "x",
}


def test_environment_of_the_user_does_not_reach_postgres(user: User, data_dir: Path, postgres_version: str) -> None:
    leaks = {"LC_ALL": "xx_YY"} | {f"PG{name}": value for name, value in LEAKS.items()}
    with user.owning(data_dir, postgres_version, **leaks) as owner, pytest.MonkeyPatch.context() as patch:
        for name, value in leaks.items():
            patch.setenv(name, value)
        assert query(owner.url, "SELECT 1") == [1]
        names = {item.partition(b"=")[0] for item in Path(f"/proc/{owner.pid}/environ").read_bytes().split(b"\0")}
        assert names <= {b"LC_ALL", b"TZ", b"PATH", b""}


@pytest.mark.parametrize("name", ["long-" * 30, "a b+c%20é@'\"&=:", "with,comma"])
def test_any_directory_name_will_do(home: Path, name: str) -> None:
    data_dir = home / name
    with embedded_postgres.start(data_dir) as postgres:
        sockets = socket_dir(postgres.url)
        assert query(postgres.url, "SELECT 1") == [1]
        assert embedded_postgres.attach(data_dir) == postgres.url
    assert (sockets == data_dir) == ("é" in name)
    assert sockets.exists() == (sockets == data_dir)


def test_socket_directory_of_a_killed_owner_is_removed_by_the_next(home: Path) -> None:
    data_dir, user = home / ("long-" * 30), User(home=home)
    with user.owning(data_dir, "18") as owner:
        owner.kill()
    wait_until_gone(home)
    with embedded_postgres.start(data_dir) as postgres:
        assert not socket_dir(owner.url).exists()
        assert query(postgres.url, "SELECT 1") == [1]


def test_stop_may_be_repeated_and_frees_the_directory(home: Path) -> None:
    postgres = embedded_postgres.start(home / "data")
    postgres.stop()
    postgres.stop()
    with embedded_postgres.start(home / "data", version="16"):
        pass


def test_failed_start_shows_the_log_and_frees_the_directory(home: Path) -> None:
    embedded_postgres.start(home / "data").stop()
    control = home / "data" / "postgres-18" / "global" / "pg_control"
    control.rename(home / "pg_control")
    with pytest.raises(embedded_postgres.EmbeddedPostgresFailed, match="pg_control") as failed:
        embedded_postgres.start(home / "data")
    assert "pg_control" in failed.value.log_tail
    (home / "pg_control").rename(control)
    embedded_postgres.start(home / "data").stop()


def test_shared_buffers_are_those_asked_for_or_suit_the_machine(home: Path) -> None:
    size = "SELECT setting::int / 128 FROM pg_settings WHERE name = 'shared_buffers'"
    with embedded_postgres.start(home / "data", shared_buffers=48) as postgres:
        assert query(postgres.url, size) == [48]
    with embedded_postgres.start(home / "data") as postgres:
        assert query(postgres.url, size) == [default_megabytes()]


def test_a_machine_without_so_much_shared_memory_gets_less(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # More than any machine gives.
    too_much = 1 << 20
    monkeypatch.setattr(embedded_postgres, "default_megabytes", lambda: too_much)
    with embedded_postgres.start(home / "data") as postgres:
        [size] = query(postgres.url, "SELECT setting::int / 128 FROM pg_settings WHERE name = 'shared_buffers'")
        assert 16 <= size < too_much
    with pytest.raises(embedded_postgres.EmbeddedPostgresFailed, match="set EMBEDDED_SHARED_BUFFERS to less"):
        embedded_postgres.start(home / "data", shared_buffers=too_much)


def test_directory_closed_to_the_user_is_told(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir()
    if IS_ROOT:  # who could enter, but gives that up to run Postgres
        os.chown(closed, NOBODY, NOBODY)
        closed.chmod(0o700)
    else:
        closed.chmod(0)
    with pytest.raises(embedded_postgres.EmbeddedPostgresFailed) as failed:
        embedded_postgres.start(closed / "data")
    assert ("belong to root or are open to all users" if IS_ROOT else str(closed)) in str(failed.value)
    closed.chmod(0o700)


def test_unusable_directory_and_unknown_version_are_told(home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(embedded_postgres.EmbeddedPostgresFailed, match="file"):
        embedded_postgres.start(home / "file")
    with pytest.raises(embedded_postgres.EmbeddedPostgresFailed, match="no embedded PostgreSQL 12, only 16, 18"):
        embedded_postgres.start(home / "data", version="12")


def test_refused_namespace_says_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if IS_ROOT:
        script = FORBID_NAMESPACES + OWNER
        with User(home=home).popen(script, str(home / "data"), "18") as process:
            told, _ = process.communicate(timeout=30)
    else:  # whom the kernel need not allow to become root in a namespace
        launcher = home / "launcher.py"
        launcher.write_text(f"raise SystemExit({embedded_launcher.NAMESPACE_REFUSED})")
        monkeypatch.setattr(embedded_launcher, "__file__", str(launcher))
        with pytest.raises(embedded_postgres.EmbeddedPostgresFailed) as failed:
            embedded_postgres.start(home / "data")
        told = str(failed.value)
    assert "start as an ordinary user, or set DATABASE_URL" in told
    assert not list((home / "data").glob("initdb-*"))
