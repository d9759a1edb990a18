"""Refused starts: `commontrace serve` says why in one line and leaves nothing; importing starts nothing."""

import codecs
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commontrace.settings import Settings
from tests.faults.server_process import ServerProcess, environment, run_command
from tests.support.certificates import Authority, Pair, written
from tests.support.processes import wait_until_gone

IMPORTS = """
import os, threading
read = set()
class Watched(os._Environ):
    def __getitem__(self, key):
        read.add(key)
        return super().__getitem__(key)
    def __contains__(self, key):
        read.add(key)
        return super().__contains__(key)
    def __iter__(self):
        read.add("all of them")
        return super().__iter__()
os.environ.__class__ = Watched
import commontrace, commontrace.serving.server
print(",".join(sorted(read)))
print(threading.active_count(), repr(open("/proc/self/task/%d/children" % os.getpid()).read()))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Whom others are in the way of."""
    with ServerProcess(tmp_path_factory.mktemp("first")) as server:
        yield server


def the_only_line(ended: "subprocess.CompletedProcess[str]") -> str:
    """What a command that failed had to say."""
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    [line] = ended.stderr.splitlines()
    return line


def test_a_second_server_on_the_same_data_is_told_by_whom_they_are_in_use(server: ServerProcess) -> None:
    line = the_only_line(run_command(server.data_dir.parent, "serve"))
    assert str(server.data_dir) in line
    assert f"process {server.pid}" in line


def test_a_second_server_on_the_same_port_starts_nothing(server: ServerProcess, tmp_path: Path) -> None:
    line = the_only_line(run_command(tmp_path, "serve", LISTEN_ADDRESS=server.address))
    assert f"cannot listen on {server.address}: process {server.pid} (" in line
    assert "has the port: stop it, or set LISTEN_ADDRESS to another address" in line
    line = the_only_line(run_command(tmp_path / "metrics", "serve", METRICS_ADDRESS=server.address))
    assert f"{server.address}: process {server.pid} (" in line
    assert "set METRICS_ADDRESS" in line
    wait_until_gone(tmp_path / "metrics")
    shutil.rmtree(tmp_path / "metrics")
    assert list(tmp_path.iterdir()) == []


def test_an_address_open_to_strangers_is_refused_before_anything_starts(tmp_path: Path) -> None:
    line = the_only_line(run_command(tmp_path, "serve", LISTEN_ADDRESS="0.0.0.0:0"))
    assert "nobody is authenticated" in line
    assert "ALLOW_OPEN=true" in line
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_that_cannot_be_used_is_refused_before_anything_starts(tmp_path: Path) -> None:
    ours = Authority("ours")
    pair = Pair(certificate=ours.issue("server").certificate, key=ours.issue("other").key)
    files = {name.upper(): str(file) for name, file in written(tmp_path / "tls", pair).items()}
    line = the_only_line(run_command(tmp_path, "serve", **files))
    assert "the key in TLS_KEY_FILE does not fit the first certificate in TLS_CERT_FILE: name two files" in line
    assert list(tmp_path.iterdir()) == [tmp_path / "tls"]


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
@pytest.mark.parametrize("name", ["tls_cert_file", "tls_key_file"])
def test_a_byte_order_mark_is_told(tmp_path: Path, name: str, mark: bytes) -> None:
    files = written(tmp_path / "tls", Authority("ours").issue("server"))
    files[name].write_bytes(mark + files[name].read_bytes())
    given = {name.upper(): str(file) for name, file in files.items()}
    line = the_only_line(run_command(tmp_path, "serve", **given))
    assert f"{name.upper()}: {files[name]} begins with a byte order mark" in line
    assert list(tmp_path.iterdir()) == [tmp_path / "tls"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LISTEN_ADDRESS", "nonsense"),
        ("LISTEN_ADDRESS", "::1:50407"),
        ("LISTEN_ADDRESS", "127.0.0.1:\u0665\u0660\u0664"),
        ("METRICS_ADDRESS", "::1:9464"),
        ("DATA_DIR", "~nobody-of-that-name/traces"),
        ("EMBEDDING_DIMENSIONS", "0"),
        ("DATABASE_POOL_SIZE", "many"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_URL", "nonsense"),
        ("TLS_KEY_FILE", "without its certificate"),
        ("DATABASE_URL", "mysql://somebody:secret@127.0.0.1/name"),
    ],
)
def test_a_setting_that_cannot_be_is_named(tmp_path: Path, variable: str, value: str) -> None:
    line = the_only_line(run_command(tmp_path, "serve", **{variable: value}))
    assert variable in line
    assert "secret" not in line
    assert not any(words in line for words in ("Input should", "is another server", "valid"))
    assert list(tmp_path.iterdir()) == []


def test_importing_reads_no_setting_and_starts_nothing(tmp_path: Path) -> None:
    bad = dict.fromkeys((name.upper() for name in Settings.model_fields), "nonsense")
    output = subprocess.check_output(
        [sys.executable, "-c", IMPORTS], env=environment(tmp_path, **bad), text=True, timeout=20
    )
    read, started = output.splitlines()
    assert not bad.keys() & set(read.split(","))
    assert "all of them" not in read.split(",")
    assert started == "1 ''"
    assert list(tmp_path.iterdir()) == []
