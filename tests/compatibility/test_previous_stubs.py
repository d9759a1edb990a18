"""Stubs that were generated from 0.1.0 understand the newest server, in every RPC that they have."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.compatibility.baseline_contract import rpcs
from tests.compatibility.previous_version import PreviousVersion
from tests.faults.server_process import ServerProcess, environment
from tests.support.repository import REPOSITORY

SECONDS = 120.0


def call_everything(version: PreviousVersion, server: ServerProcess, place: Path) -> subprocess.CompletedProcess[str]:
    """Runs tests/compatibility/previous_stubs with the stubs of the version."""
    return subprocess.run(
        [str(version.python), "-m", "tests.compatibility.previous_stubs", server.address],
        cwd=REPOSITORY,
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def uncalled(called: Iterable[str]) -> set[str]:
    """The RPCs of 0.1.0 that are not among these, and these that are not of 0.1.0."""
    return set(rpcs().symmetric_difference(called))


def test_every_rpc_is_understood(previous_version: PreviousVersion, tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        ended = call_everything(previous_version, server, tmp_path)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["stubs"] == [str(previous_version.place / "src/commontrace/v1")]
    assert uncalled(told["rpcs"]) == set()


def test_an_answer_that_says_something_else_is_noticed(previous_version: PreviousVersion, tmp_path: Path) -> None:
    with ServerProcess(tmp_path, VALIDATION_THRESHOLD="3") as server:
        ended = call_everything(previous_version, server, tmp_path)
    assert ended.returncode != 0
    assert "assert info.validation_threshold == 2" in ended.stderr


@pytest.mark.parametrize("rpc", sorted(rpcs()))
def test_an_rpc_that_is_not_called_is_noticed(rpc: str) -> None:
    assert uncalled(rpcs() - {rpc}) == {rpc}


def test_the_baseline_has_every_service() -> None:
    assert {path.split("/")[1] for path in rpcs()} == {
        "commontrace.v1.TagService",
        "commontrace.v1.TraceService",
        "commontrace.v1.VoteService",
    }
