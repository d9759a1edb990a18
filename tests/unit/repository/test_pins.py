"""`.ci/pins.py` finds whatever is fetched without a hash, wherever it is written, and nothing that has one."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import REPOSITORY

DIGEST, COMMIT = "sha256:" + "0a" * 32, "0a" * 20
PINNED_IMAGE = f"debian:13@{DIGEST}"
EXCEPTION = '[[unpinned]]\nkind = "{}"\nwhat = "{}"\nwhy = "{}"\n'

# File, what stands in it, kind of what is found.
UNPINNED = [
    ("Dockerfile", "FROM debian:13\n", "image"),
    ("api.Dockerfile", f"FROM --platform=linux/amd64 debian:latest AS one\nFROM one\nFROM {PINNED_IMAGE}\n", "image"),
    ("Dockerfile", f"FROM {PINNED_IMAGE}\nCOPY --from=golang:1.26 /usr/local/go /go\n", "image"),
    ("Dockerfile", f"FROM {PINNED_IMAGE}\nRUN --mount=type=bind,from=busybox:1,target=/b true\n", "image"),
    ("Containerfile", f"# syntax=docker/dockerfile:1\nFROM {PINNED_IMAGE}\n", "image"),
    ("Dockerfile", f"FROM {PINNED_IMAGE}\nADD https://example.org/x.tgz /x\n", "download"),
    ("Dockerfile", f'FROM {PINNED_IMAGE}\nRUN ["pip", "install", "uv"]\n', "pip"),
    ("Dockerfile", f"FROM {PINNED_IMAGE}\nRUN apt-get update \\\n && apt-get install -y nginx\n", "system"),
    ("docker-compose.yml", "services:\n  a:\n    image: postgres:18\n", "image"),
    ("docker-compose.override.yaml", "services:\n  a:\n    image: ${IMAGE:-postgres:18}\n", "image"),
    ("compose.yml", 'services:\n  a:\n    command: [sh, -c, "pip install uv"]\n', "pip"),
    (".github/workflows/ci.yml", "steps:\n  - uses: actions/checkout@v5 # newest\n", "action"),
    (".github/workflows/ci.yml", "steps:\n  - uses: docker://alpine:3\n", "image"),
    (".forgejo/workflows/ci.yaml", "steps:\n  - run: npm install\n", "npm"),
    (".gitlab-ci.yml", "image: python:3\n", "image"),
    ("Makefile", "x:\n\t@$(BIN)/python -m pip install --quiet uv\n", "pip"),
    ("Makefile", "INSTALL := pip install --quiet\nx:\n\t$(INSTALL) uv==1.0\n", "pip"),
    ("tools.mk", "x:\n\tuv tool install ruff\n", "uv"),
    ("tools.mk", "x:\n\tuvx ruff check\n", "uv"),
    ("Makefile", "V := $(shell curl --silent https://example.org/version)\n", "download"),
    ("install.sh", "curl -LsSf https://example.org/install.sh | sudo bash\n", "download"),
    ("install.sh", 'sh -c "$(wget -qO- https://example.org/install.sh)"\n', "download"),
    ("install.sh", "bash <(curl https://example.org/install.sh)\n", "download"),
    ("install.sh", "curl https://example.org/a | sh && echo 00 a | sha256sum -c\n", "download"),
    ("install.sh", "curl -o tool https://example.org/tool\nchmod +x tool\n", "download"),
    ("install.sh", "pip install -e .\n", "pip"),
    ("install.sh", "pip3 install --no-deps git+https://example.org/x --no-build-isolation\n", "pip"),
    ("install.sh", "npx tsx main.ts\n", "npm"),
    ("install.sh", "yarn install\n", "npm"),
    ("install.sh", "go install example.org/tool@latest\n", "go"),
    ("install.sh", "go run example.org/tool@v1.2.3\n", "go"),
    ("install.sh", "cargo install ripgrep\n", "cargo"),
    ("install.sh", "gem install rake\n", "gem"),
    ("install.sh", "uv sync\n", "uv"),
    ("install.sh", "apk add --no-cache git\n", "system"),
    ("install.sh", "docker run --rm alpine:3 true\n", "image"),
    (".ci/run", "#!/bin/sh\ncommand -v jq || apt-get install --yes jq\n", "system"),
    (".ci/tools.py", 'run([python, "-m", "pip", "install", "ruff"])\n', "pip"),
    (".ci/tools.py", 'run("npm install", shell=True)\n', "npm"),
    ("web/package.json", '{"scripts": {"build": "npx esbuild"}}\n', "npm"),
    ("web/package-lock.json", '{"packages": {"": {}, "node_modules/a": {"version": "1.0.0"}}}\n', "npm"),
]

PINNED = [
    (
        "Dockerfile",
        f"FROM {PINNED_IMAGE} AS one\nFROM one AS two\nCOPY --from=one /a /b\nFROM scratch\nCOPY --from=0 / /\n",
    ),
    ("Dockerfile", f"FROM {PINNED_IMAGE}\nADD --checksum={DIGEST} https://example.org/x.tgz /x\nADD src src\n"),
    ("Dockerfile", f"FROM {PINNED_IMAGE}\nRUN pip install --require-hashes -r a.lock && pip wheel --no-index .\n"),
    ("Dockerfile", f"FROM {PINNED_IMAGE}\nRUN apt-get update && apt-get install --yes git=1:2.47.3-0\n"),
    ("docker-compose.yml", f"services:\n  a:\n    image: '{PINNED_IMAGE}'\n  b:\n    build: .\n"),
    ("docker-compose.yml", 'test: [CMD, wget, --quiet, "http://127.0.0.1:9090/-/ready"]\n'),
    (".github/workflows/ci.yml", f"steps:\n  - uses: actions/checkout@{COMMIT} # v5\n  - uses: ./.github/own\n"),
    ("Makefile", "INSTALL := pip install\nx:\n\t$(INSTALL) --no-deps --no-build-isolation --editable .\n"),
    ("Makefile", "x:\n\t# pip install uv\n\t@echo 'installing'\n\tuv sync --locked\n"),
    ("install.sh", "curl -o a https://example.org/a && echo '00  a' | sha256sum --check\n"),
    ("install.sh", "npm ci\npnpm install --frozen-lockfile\ngo install tool\ngo run .\ncargo install --locked x\n"),
    ("install.sh", f"docker run --rm alpine@{DIGEST} true\ndocker build .\n"),
    ("README.md", "pip install commontrace\n"),
    ("web/package-lock.json", '{"packages": {"": {}, "a": {"link": true}, "b": {"integrity": "sha512-x"}}}\n'),
]


def _check(place: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    subprocess.run(["git", "init", "--quiet", str(place)], check=True)  # noqa: S607 - from the PATH
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(content)
    command = [sys.executable, str(REPOSITORY / ".ci" / "pins.py"), str(place)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[str]]:
    """What is said of each row, each in a repository of its own inside one."""
    place = tmp_path_factory.mktemp("unpinned")
    done = _check(place, {f"{number}/{name}": text for number, (name, text, _) in enumerate(UNPINNED)})
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    return {number: [line for line in lines if line.startswith(f"{number}/")] for number in range(len(UNPINNED))}


@pytest.mark.parametrize("number", range(len(UNPINNED)), ids=lambda number: " ".join(UNPINNED[number][:2]))
def test_what_is_unpinned_is_found(found: dict[int, list[str]], number: int) -> None:
    name, _, kind = UNPINNED[number]
    [said] = found[number]
    assert said.startswith(f"{number}/{name}")
    assert f"({kind}) is not pinned: " in said


def test_what_is_pinned_passes(tmp_path: Path) -> None:
    done = _check(tmp_path, {f"{number}/{name}": text for number, (name, text) in enumerate(PINNED)})
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


def test_an_exception_with_a_reason_is_listed(tmp_path: Path) -> None:
    exception = EXCEPTION.format("image", "debian:13", "nobody has its digest")
    done = _check(tmp_path, {"Dockerfile": "FROM debian:13\n", ".ci/unpinned.toml": exception})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "not pinned: debian:13 (image): nobody has its digest\n"


@pytest.mark.parametrize(
    ("exception", "said"),
    [
        (EXCEPTION.format("image", "debian:12", "of another image"), "debian:13 (image) is not pinned"),
        (EXCEPTION.format("system", "debian:13", "of another kind"), "debian:13 (image) is not pinned"),
        (EXCEPTION.format("image", "debian:13", " "), "an exception has a kind, a what and a why"),
        ('[[unpinned]]\nkind = "image"\nwhat = "debian:13"\n', "an exception has a kind, a what and a why"),
        (
            EXCEPTION.format("image", "debian:13", "ours") + EXCEPTION.format("pip", "pip install x", "gone"),
            "nothing asks for pip install x (pip)",
        ),
    ],
)
def test_other_exceptions_fail(tmp_path: Path, exception: str, said: str) -> None:
    done = _check(tmp_path, {"Dockerfile": "FROM debian:13\n", ".ci/unpinned.toml": exception})
    assert done.returncode == 1
    assert said in done.stderr


def test_nothing_here_is_unpinned_without_a_reason() -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / ".ci" / "pins.py")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
