"""`commontrace` on a Postgres that it does not start itself."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from commontrace.client import connect
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from tests.conftest import administer, url_of
from tests.faults.server_process import ServerProcess, run_command
from tests.support.processes import processes_of


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_postgres.start(tmp_path_factory.mktemp("postgres")) as postgres:
        yield postgres.url


@pytest.fixture
def new_database(postgres: str, request: pytest.FixtureRequest) -> str:
    """The URL of a database that nobody migrated."""
    name = f"db_{abs(hash(request.node.name))}"
    asyncio.run(administer(postgres, f"CREATE DATABASE {name}"))
    return url_of(postgres, name)


def test_a_database_is_migrated_seeded_and_served(new_database: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        ended = run_command(tmp_path, *arguments, DATABASE_URL=new_database)
        return ended.returncode, ended.stdout, ended.stderr

    for command in ("serve", "seed"):
        code, output, message = run(command)
        assert (code, output, message.count("\n")) == (1, "", 1)
        assert "run `commontrace migrate`" in message
    code, output, _ = run("migrate")
    assert (code, output.startswith("migrated to ")) == (0, True)
    assert run("migrate") == (0, output.replace("migrated to", "already at"), "")
    code, output, _ = run("seed")
    assert (code, output.startswith("seeded ")) == (0, True)
    assert run("seed") == (0, "Already seeded\n", "")
    asyncio.run(check_two_servers(new_database, tmp_path))
    assert not (tmp_path / "data").exists()


async def check_two_servers(database_url: str, place: Path) -> None:
    with (
        ServerProcess(place, DATABASE_URL=database_url) as one,
        ServerProcess(place, DATABASE_URL=database_url) as other,
    ):
        async with connect(one.address) as first, connect(other.address) as second:
            for writer, reader in ((first, second), (second, first)):
                cure = f"Turn off lamp {id(writer)}."
                created = (await writer.contribute("Pages flicker", "They do.", cure)).created
                assert await reader.get(created.id) == created
                assert created.id in {hit.trace.id for hit in await reader.search("Pages flicker", limit=3)}
        assert one.interrupt() == 0
        async with connect(other.address) as second:
            assert (await second.get(created.id)).title == "Pages flicker"
        assert other.terminate() == 0


async def test_serve_migrates_when_told_to(new_database: str, tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--migrate", DATABASE_URL=new_database) as server:
        async with connect(server.address) as client:
            assert await client.search("anything") == []
            created = (await client.contribute("A title", "A problem", "A solution")).created
            assert [hit.trace for hit in await client.search("anything")] == [created]
    with ServerProcess(tmp_path, "--migrate", DATABASE_URL=new_database) as server:
        async with connect(server.address) as client:
            assert await client.get(created.id) == created


@pytest.mark.parametrize("command", ["serve", "seed", "migrate"])
def test_a_database_that_is_not_there_is_named(postgres: str, tmp_path: Path, command: str) -> None:
    ended = run_command(tmp_path, command, DATABASE_URL=url_of(postgres, "absent"))
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert 'database "absent" does not exist' in ended.stderr


def test_a_postgres_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    ended = run_command(tmp_path, "serve", DATABASE_URL="postgresql://somebody:secret@127.0.0.1:1/name")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert "the database cannot be reached" in ended.stderr
    assert "secret" not in ended.stderr
    assert processes_of(tmp_path) == []
