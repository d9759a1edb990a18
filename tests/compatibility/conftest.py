"""The version of before is installed once, however many processes run the tests."""

import fcntl
from pathlib import Path

import pytest

from tests.compatibility.baseline_contract import COMMIT
from tests.compatibility.previous_version import NoHistory, PreviousVersion, install
from tests.support.repository import REPOSITORY


@pytest.fixture(scope="session")
def previous_version(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> PreviousVersion:
    """The version of the baseline. Its absence is a failure, not a reason to skip."""
    place = _shared(tmp_path_factory, request.config) / "previous-version"
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            ready = (place / ".venv/ready").exists()
            return PreviousVersion(place=place) if ready else install(REPOSITORY, COMMIT, place)
        except NoHistory as missing:
            problem = str(missing)
    pytest.fail(problem, pytrace=False)


def _shared(tmp_path_factory: pytest.TempPathFactory, config: pytest.Config) -> Path:
    """The directory of this run, which those of its processes lie in."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if hasattr(config, "workerinput") else own
