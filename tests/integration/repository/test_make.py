"""Installation by `make`: one at a time in a checkout, and uv trusts the same authorities as pip."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import REPOSITORY

CI = REPOSITORY / ".ci"


def certificates_of_uv(place: Path, **variables: str) -> dict[str, str]:
    """What uv gets to see of the environment, by its name."""
    place.mkdir(exist_ok=True)
    (place / "uv").write_text("#!/bin/sh\nexec env\n")
    (place / "uv").chmod(0o755)
    # Without the configuration of whoever runs the tests.
    given = {"PATH": os.environ["PATH"], "HOME": str(place), "PIP_CONFIG_FILE": os.devnull} | variables
    (place / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (place / "python").chmod(0o755)
    seen = subprocess.check_output([str(CI / "uv"), str(place)], env=given, text=True)
    found = dict(line.split("=", 1) for line in seen.splitlines() if "=" in line)
    return {name: value for name, value in found.items() if name.startswith(("SSL_", "UV_"))}


SYSTEM = {"UV_SYSTEM_CERTS": "true"}


@pytest.mark.parametrize(
    ("variables", "seen"),
    [
        ({}, SYSTEM),
        ({"PIP_CERT": "/pip.pem", "REQUESTS_CA_BUNDLE": "/other.pem"}, SYSTEM | {"SSL_CERT_FILE": "/pip.pem"}),
        ({"PIP_CERT": "/"}, SYSTEM | {"SSL_CERT_DIR": "/"}),
        ({"REQUESTS_CA_BUNDLE": "/requests.pem"}, SYSTEM | {"SSL_CERT_FILE": "/requests.pem"}),
        ({"CURL_CA_BUNDLE": "/curl.pem"}, SYSTEM | {"SSL_CERT_FILE": "/curl.pem"}),
        ({"PIP_CERT": "/pip.pem", "SSL_CERT_FILE": "/own.pem"}, SYSTEM | {"SSL_CERT_FILE": "/own.pem"}),
        ({"UV_SYSTEM_CERTS": "false"}, {"UV_SYSTEM_CERTS": "false"}),
    ],
)
def test_uv_trusts_whom_pip_trusts(tmp_path: Path, variables: dict[str, str], seen: dict[str, str]) -> None:
    assert certificates_of_uv(tmp_path / "a bin", **variables) == seen


@pytest.mark.parametrize("section", ["global", "install"])
def test_uv_trusts_whom_the_configuration_of_pip_names(tmp_path: Path, section: str) -> None:
    (tmp_path / "pip.conf").write_text(f"[{section}]\ncert = /inspector.pem\n")
    seen = certificates_of_uv(tmp_path / "bin", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    assert seen == SYSTEM | {"SSL_CERT_FILE": "/inspector.pem"}


def test_two_at_once_install_one_after_the_other(tmp_path: Path) -> None:
    lock, log = tmp_path / "Makefile", tmp_path / "log"
    lock.touch()
    command = ["/bin/sh", "-c", f"echo begin >> '{log}'; sleep 0.3; echo end >> '{log}'"]
    running = [
        subprocess.Popen([sys.executable, str(CI / "alone.py"), str(lock), *command], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=30)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert log.read_text().split() == ["begin", "end"] * 3
    assert sorted("waiting for another make" in words for words in said) == [False, True, True]


def test_a_failure_is_passed_on_and_leaves_no_lock(tmp_path: Path) -> None:
    for code in (3, 0):
        ended = subprocess.run(
            [sys.executable, str(CI / "alone.py"), str(tmp_path), "/bin/sh", "-c", f"exit {code}"], check=False
        )
        assert ended.returncode == code
