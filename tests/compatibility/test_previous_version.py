"""Git history behind the compatibility tests, and the messages where it is missing."""

import subprocess
from pathlib import Path

import pytest

from tests.compatibility.baseline_contract import COMMIT, DESCRIPTORS
from tests.compatibility.previous_version import NoHistory, PreviousVersion, unpack
from tests.compatibility.test_breaking_changes import BUF
from tests.support.repository import REPOSITORY


def test_the_descriptors_are_those_of_the_commit(tmp_path: Path) -> None:
    unpack(REPOSITORY, COMMIT, tmp_path / "before")
    built = tmp_path / "built.binpb"
    build = [str(BUF), "build", "--exclude-source-info", "-o", str(built)]
    subprocess.run(build, cwd=tmp_path / "before", check=True)
    assert built.read_bytes() == DESCRIPTORS.read_bytes()


def test_it_imports_its_own_package_alone(previous_version: PreviousVersion) -> None:
    command = [str(previous_version.python), "-P", "-c", "import commontrace; print(commontrace.__file__)"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(said).is_relative_to(previous_version.place / "src")


def test_a_shallow_clone_is_told_to_fetch_the_rest(tmp_path: Path) -> None:
    clone = tmp_path / "shallow"
    url = f"file://{REPOSITORY}"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", url, clone], check=True)  # noqa: S607 - as people type it
    with pytest.raises(NoHistory, match=rf"^version {COMMIT} .* lacks it: run `git fetch --unshallow`$"):
        unpack(clone, COMMIT, tmp_path / "before")


def test_a_clone_without_the_commit_is_told_to_fetch(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path / "other"], check=True)  # noqa: S607
    with pytest.raises(NoHistory, match=r"lacks it: run `git fetch --all`$"):
        unpack(tmp_path / "other", COMMIT, tmp_path / "before")


def test_a_directory_without_history_is_told_to_be_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "unpacked").mkdir()
    with pytest.raises(NoHistory, match=r"is no clone that git reads \(.*\): run these tests in a clone"):
        unpack(tmp_path / "unpacked", COMMIT, tmp_path / "before")


def test_a_machine_without_git_is_told_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoHistory, match=r"`git` is not on the PATH: install git$"):
        unpack(REPOSITORY, COMMIT, tmp_path / "before")
