"""`commontrace doctor` on databases and servers in every state, and that following its advice helps."""

import asyncio
import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from commontrace.cli.doctor import checks as doctor_checks
from commontrace.cli.doctor import server_checks
from commontrace.core.encoding.queue import requeue
from commontrace.core.encoding.worker import drain_queue
from commontrace.domain.doctor.findings import Finding, Level
from commontrace.embeddings.embedder import Embedder
from commontrace.settings import LEASE_SECONDS
from commontrace.storage import migrations
from commontrace.storage.database import Database
from commontrace.storage.doctor.inspector import inspect_database
from commontrace.storage.embedded_postgres import instance as embedded_postgres
from commontrace.storage.postgres_url import parse_postgres_url
from tests.conftest import RunningServer, ServerFactory, administer, url_of
from tests.contract.serving.server_states import STATES
from tests.faults.server_process import ServerProcess, environment
from tests.integration.storage.storing import stored
from tests.support.command_in_process import run_in_process
from tests.support.processes import processes_of

NOWHERE = "127.0.0.1:1"
NO_ADDRESS = "nonsense"
"""An address that refuses connections at once; an unanswered one would cost four attempts."""
INDEX = "ix_traces_embedding_hnsw"
HELD = "(embedding::halfvec(384))"
CREATE = f"CREATE INDEX {INDEX} ON traces USING hnsw ({HELD} halfvec_cosine_ops)"
OF_THE_VERSION_BEFORE = f"CREATE INDEX {INDEX} ON traces USING hnsw (embedding vector_cosine_ops)"

# What happened to the index; which check says so, how badly, in which words.
DAMAGES = {
    "missing": (f"DROP INDEX {INDEX}", "index", Level.PROBLEM, "is missing"),
    "invalid": (
        f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{INDEX}'::regclass",  # noqa: S608 - ours
        "index",
        Level.PROBLEM,
        "is invalid",
    ),
    "of another distance": (
        f"DROP INDEX {INDEX}; {CREATE.replace('cosine', 'l2')}",
        "index",
        Level.PROBLEM,
        f"hnsw over {HELD} with halfvec_l2_ops, searches need hnsw over {HELD} with halfvec_cosine_ops",
    ),
    "of another kind": (
        f"DROP INDEX {INDEX}; {CREATE.replace('hnsw (', 'ivfflat (')}",
        "index",
        Level.PROBLEM,
        f"ivfflat over {HELD} with halfvec_cosine_ops, searches need hnsw",
    ),
    "over the full vectors": (
        f"DROP INDEX {INDEX}; {OF_THE_VERSION_BEFORE}",
        "index",
        Level.PROBLEM,
        f"hnsw over embedding with vector_cosine_ops, searches need hnsw over {HELD} with halfvec_cosine_ops",
    ),
    "coarser": (f"DROP INDEX {INDEX}; {CREATE} WITH (m = 4)", "index", Level.WARNING, "m = 4 instead of"),
    "on some rows only": (
        f"DROP INDEX {INDEX}; {CREATE} WHERE deleted_at IS NOT NULL",
        "plan",
        Level.PROBLEM,
        f"searches do not use {INDEX}",
    ),
}


async def look(monkeypatch: pytest.MonkeyPatch, url: str | None, address: str = NO_ADDRESS) -> dict[str, Finding]:
    """Returns the worst finding of each check."""
    if url is not None:
        monkeypatch.setenv("DATABASE_URL", url)
    found = [finding async for finding in doctor_checks.run_checks(address)]
    assert all(finding.advice for finding in found if finding.level is not Level.OK)
    assert all("\n" not in finding.message for finding in found)
    return {finding.check: finding for finding in sorted(found, key=lambda finding: [*Level].index(finding.level))}


async def follow(advice: str, url: str) -> None:
    """Runs the statements of an advice for psql."""
    statements = advice.rpartition("psql: ")[2].replace(" and if that does not help:", "").split("; ")
    for statement in statements:
        await administer(url, statement)


async def test_all_is_well_with_a_migrated_database(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    found = await look(monkeypatch, database_url, NOWHERE)
    # The tests' own Postgres does without fsync.
    assert {name for name, finding in found.items() if finding.level is not Level.OK} == {"durability", "server"}
    of_postgres = {"postgres", "encoding", "writing", "pgvector", "durability"}
    of_contents = {"revision", "model", "index", "plan", "memory", "vectors", "queue"}
    assert {*found} == {"settings", "database", "server"} | of_postgres | of_contents
    assert found["server"].level is Level.WARNING


@pytest.mark.parametrize("damage", DAMAGES)
async def test_following_the_advice_repairs_the_index(
    monkeypatch: pytest.MonkeyPatch, database_url: str, damage: str
) -> None:
    statements, check, level, said = DAMAGES[damage]
    for statement in statements.split("; "):
        await administer(database_url, statement)
    finding = (await look(monkeypatch, database_url))[check]
    assert (finding.level, said in finding.message) == (level, True), finding
    await follow(finding.advice, database_url)
    repaired = await look(monkeypatch, database_url)
    assert (repaired["index"].level, repaired["plan"].level) == (Level.OK, Level.OK), repaired


async def test_an_index_with_the_defaults_is_as_good(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    await administer(database_url, f"DROP INDEX {INDEX}")
    await administer(database_url, CREATE)
    assert (await look(monkeypatch, database_url))["index"].level is Level.OK


async def test_traces_that_no_search_finds_are_counted(
    monkeypatch: pytest.MonkeyPatch, database: Database, database_url: str, embedder: Embedder
) -> None:
    model = {"embedding_model_id": embedder.model_id, "embedding_model_version": embedder.model_version}
    for _ in range(3):
        await stored(database, **model)
    foreign_id = await stored(database)
    finding = (await look(monkeypatch, database_url))["vectors"]
    assert finding.message.startswith("of 4 live traces 1 have a vector of another model")
    assert (f"({foreign_id})" in finding.message, finding.advice) == (True, "commontrace worker --retry")
    unset = "UPDATE traces SET embedding = NULL, embedding_model_id = NULL, embedding_model_version = NULL"
    await administer(database_url, f"{unset} WHERE embedding_model_id <> 'model'")
    finding = (await look(monkeypatch, database_url))["vectors"]
    assert "4 live traces 3 have no vector and 1 have a vector of another model" in finding.message
    assert await requeue(database) == 4
    found = await look(monkeypatch, database_url)
    assert found["vectors"].message == "0 of 4 live traces can be found, the others are in the queue"
    assert {found[name].level for name in ("vectors", "queue")} == {Level.OK}
    await drain_queue(database, embedder, lease_seconds=LEASE_SECONDS)
    found = await look(monkeypatch, database_url)
    assert found["vectors"].message == "each of 4 live traces can be found"
    assert found["queue"].message == "no trace waits for its vector"
    await administer(database_url, "UPDATE traces SET deleted_at = now()")
    assert (await look(monkeypatch, database_url))["vectors"].message == "each of 0 live traces can be found"


async def test_traces_without_tokens_are_counted(
    monkeypatch: pytest.MonkeyPatch, database: Database, database_url: str, embedder: Embedder
) -> None:
    model = {"embedding_model_id": embedder.model_id, "embedding_model_version": embedder.model_version}
    for _ in range(2):
        await stored(database, **model)
    finding = (await look(monkeypatch, database_url))["vectors"]
    assert (finding.level, finding.advice) == (Level.WARNING, "commontrace worker --retry")
    assert finding.message.startswith("of 2 live traces 2 lack the signs of their tokens")
    assert await requeue(database) == 2
    assert (await look(monkeypatch, database_url))["vectors"].level is Level.OK
    await drain_queue(database, embedder, lease_seconds=LEASE_SECONDS)
    assert (await look(monkeypatch, database_url))["vectors"].message == "each of 2 live traces can be found"


async def test_an_older_reading_of_texts_is_no_problem_and_told(
    monkeypatch: pytest.MonkeyPatch, database: Database, database_url: str
) -> None:
    await stored(database)
    await administer(database_url, "UPDATE embedding_models SET version = split_part(version, '-', 1)")
    finding = (await look(monkeypatch, database_url))["model"]
    assert (finding.level, finding.advice.split(" renews")[0]) == (Level.WARNING, "commontrace reembed")
    assert "an older reading of texts" in finding.message


async def test_who_waits_for_a_vector_and_who_was_given_up(
    monkeypatch: pytest.MonkeyPatch, database: Database, database_url: str
) -> None:
    async def queue() -> Finding:
        return (await look(monkeypatch, database_url))["queue"]

    ids = [await stored(database) for _ in range(3)]
    for trace_id in ids:
        async with database.unit_of_work() as work:
            await work.encoding_jobs.enqueue(trace_id)
    fresh = await queue()
    assert (fresh.level, fresh.message.rpartition(" for ")[0]) == (Level.OK, "waiting for vectors: 3, the first")
    for age, said in (("6 minutes", "6 min"), ("2 days", "2.0 days")):
        await administer(
            database_url,
            f"UPDATE encoding_jobs SET created_at = now() - interval '{age}', last_error = 'it is away'",  # noqa: S608 - ours
        )
        late = await queue()
        expected = f"waiting for vectors: 3, the first for {said}, because it is away"
        assert (late.level, late.message, "ENCODING_WORKER" in late.advice) == (Level.WARNING, expected, True)
    await administer(
        database_url,
        f"UPDATE encoding_jobs SET given_up_at = now(), last_error = 'too long' WHERE trace_id = '{ids[0]}'",  # noqa: S608 - ours
    )
    given_up = await queue()
    assert given_up.message == f"waiting for vectors: 2, given up: 1, because too long ({ids[0]})"
    assert (given_up.level, given_up.advice.endswith("commontrace worker --retry")) == (Level.PROBLEM, True)
    async with inspect_database(database_url) as asked:
        facts = await asked.get_queue()
    assert (facts.waiting, facts.given_up, facts.why, list(facts.examples)) == (2, 1, "too long", [ids[0]])


async def test_a_database_of_another_revision(
    monkeypatch: pytest.MonkeyPatch, database_url: str, embedder: Embedder
) -> None:
    await administer(database_url, "UPDATE alembic_version SET version_num = '9999_from_tomorrow'")
    finding = (await look(monkeypatch, database_url))["revision"]
    assert (finding.level, "9999_from_tomorrow, of a newer" in finding.message) == (Level.PROBLEM, True)
    newest = migrations.newest_revision()
    await administer(database_url, f"UPDATE alembic_version SET version_num = '{newest}'")  # noqa: S608 - a file's name
    for revision in ("0003_give_votes_reasons", "0001_initial_schema", "base"):
        await migrations.downgrade(database_url, revision, embedder)
        found = await look(monkeypatch, database_url)
        assert (found["revision"].level, found["revision"].advice) == (Level.PROBLEM, "commontrace migrate")
        assert not found.keys() & {"model", "index", "plan", "memory", "vectors", "queue"}


async def test_an_empty_database(monkeypatch: pytest.MonkeyPatch, empty_database_url: str) -> None:
    found = await look(monkeypatch, empty_database_url)
    assert found["pgvector"].advice.startswith("commontrace migrate creates it, as a user who may")
    assert found["revision"].message == "the database was never migrated"


async def test_a_database_whose_extension_is_gone(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    await administer(database_url, "DROP EXTENSION vector CASCADE")
    found = await look(monkeypatch, database_url)
    assert found["pgvector"].level is Level.PROBLEM
    assert found["revision"].level is Level.OK


async def test_an_extension_that_cannot_be_seen(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    await administer(database_url, "CREATE SCHEMA elsewhere")
    await administer(database_url, "ALTER EXTENSION vector SET SCHEMA elsewhere")
    finding = (await look(monkeypatch, database_url))["pgvector"]
    assert finding.level is Level.PROBLEM
    await follow(finding.advice, database_url)
    assert (await look(monkeypatch, database_url))["plan"].level is Level.OK
    await administer(
        database_url,
        f"ALTER ROLE postgres IN DATABASE {parse_postgres_url(database_url).database} RESET search_path",
    )


async def test_settings_that_risk_data(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    name = parse_postgres_url(database_url).database
    await administer(database_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    finding = (await look(monkeypatch, database_url))["durability"]
    assert (finding.level, finding.advice) == (Level.PROBLEM, f"psql: ALTER DATABASE {name} RESET synchronous_commit")


async def test_models_that_do_not_fit(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> None:
    async def model() -> Finding:
        return (await look(monkeypatch, database_url))["model"]

    monkeypatch.setenv("EMBEDDING_MODEL_DIR", str(tmp_path))
    missing = await model()
    assert (missing.level, str(tmp_path) in missing.advice) == (Level.PROBLEM, True)
    monkeypatch.setenv("EMBEDDER", "lexical")
    mismatch = await model()
    assert (mismatch.level, "the settings give lexical" in mismatch.message) == (Level.PROBLEM, True)
    await administer(database_url, "UPDATE embedding_models SET id = 'lexical', is_lexical = true, version = '0'")
    assert "EMBEDDER=lexical EMBEDDING_DIMENSIONS=384" in (await model()).advice
    await administer(database_url, "DELETE FROM embedding_models")
    assert "names no current model" in (await look(monkeypatch, database_url))["database"].message


async def test_a_lexical_database_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch, empty_database_url: str) -> None:
    from commontrace.embeddings.lexical import LexicalEmbedder

    await migrations.upgrade(empty_database_url, LexicalEmbedder(64))
    finding = (await look(monkeypatch, empty_database_url))["model"]
    assert (finding.level, "words, not meaning" in finding.message) == (Level.WARNING, True)


async def test_a_user_who_may_read_nothing(
    monkeypatch: pytest.MonkeyPatch, database_url: str, request: pytest.FixtureRequest
) -> None:
    await administer(database_url, "CREATE ROLE stranger LOGIN")
    request.addfinalizer(lambda: asyncio.run(administer(database_url, "DROP ROLE stranger")))
    url = parse_postgres_url(database_url).set(username="stranger").render_as_string(hide_password=False)
    found = (await look(monkeypatch, url))["database"]
    assert "permission denied for table alembic_version" in found.message
    assert (
        found.advice
        == "allow the user of DATABASE_URL to connect, and all on CommonTrace's tables, sequences and functions"
    )


@pytest.mark.parametrize(
    ("url", "said", "advice"),
    [
        ("nonsense", "DATABASE_URL cannot be used", "must be a Postgres URL"),
        ("mysql://ada:secret@127.0.0.1/x", "DATABASE_URL cannot be used", "must be a Postgres URL"),
        ("postgresql://ada:secret@127.0.0.1:1/x", "cannot be reached: ", "check host, port"),
        ("postgresql://ada:secret@no-such-host.invalid/x", "cannot be reached: ", "check host, port"),
        ("postgresql://ada:secret@/x?host=/nonexistent", "cannot be reached: ", "check host, port"),
        ("postgresql://ada:secret@127.0.0.1:1/x?sslmode=nonsense", "", ""),
    ],
)
async def test_a_database_that_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, url: str, said: str, advice: str
) -> None:
    finding = (await look(monkeypatch, url))["database"]
    assert (finding.level, said in finding.message, advice in finding.advice) == (Level.PROBLEM, True, True), finding
    assert "secret" not in f"{finding.message} {finding.advice}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Path:
    """A directory with a migrated embedded database that has been used and stopped."""
    place = tmp_path_factory.mktemp("doctor")
    with embedded_postgres.start(place / "data") as postgres:
        asyncio.run(migrations.upgrade(postgres.url, embedder))
        doctor = f"doctor --address {NOWHERE}"
        for command, said in {"migrate": "already at ", "keys list": "no keys\n", doctor: "ok "}.items():
            ended = run_in_process(place, *command.split())
            assert (ended.returncode, ended.stdout.startswith(said), ended.stderr) == (0, True, "")
            assert "started for this look" not in ended.stdout
    return place


def ask_for_passwords(data_dir: Path) -> None:
    [access] = data_dir.glob("postgres-*/pg_hba.conf")
    access.write_text("local all ada scram-sha-256\nlocal all postgres trust\n")


async def test_a_password_or_a_name_that_is_wrong(monkeypatch: pytest.MonkeyPatch, place: Path, tmp_path: Path) -> None:
    data_dir = shutil.copytree(place / "data", tmp_path / "data")
    with embedded_postgres.start(data_dir) as postgres:
        absent = await look(monkeypatch, url_of(postgres.url, "absent"))
        assert "createdb" in absent["database"].advice
        await administer(postgres.url, "CREATE ROLE ada LOGIN PASSWORD 'right'")
        ask_for_passwords(data_dir)
        await administer(postgres.url, "SELECT pg_reload_conf()")
        wrong = (await look(monkeypatch, postgres.url.replace("postgres@", "ada:secret@")))["database"]
        assert wrong.advice == "check user and password in DATABASE_URL"
        assert "secret" not in wrong.message


async def test_it_cannot_write(database_url: str) -> None:
    async with inspect_database(database_url) as database:
        with pytest.raises(DBAPIError, match="read-only transaction"):
            await database._connection.exec_driver_sql("DELETE FROM traces")


async def test_a_server_of_another_version(
    monkeypatch: pytest.MonkeyPatch, server: RunningServer, database_url: str
) -> None:
    assert (await look(monkeypatch, database_url, server.address))["server"].level is Level.OK
    monkeypatch.setattr(server_checks, "__version__", "0.0.9")
    finding = (await look(monkeypatch, database_url, server.address))["server"]
    assert (finding.level, "this command is 0.0.9" in finding.message) == (Level.WARNING, True)


async def test_a_server_without_its_database(
    monkeypatch: pytest.MonkeyPatch, start_server: ServerFactory, database_url: str
) -> None:
    async with STATES["nobody listens"](start_server, database_url) as running:
        found = await look(monkeypatch, database_url, running.address)
    assert "DATABASE_UNAVAILABLE" in found["server"].message
    assert "is NOT_SERVING" in found["health"].message


@pytest.mark.slow
def test_all_is_well_beside_a_server_on_its_own_database(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        ended = run_in_process(tmp_path, "doctor", "--json", "--address", server.address)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (ended.returncode, ended.stderr) == (0, "")
    assert {finding["level"] for finding in found} == {"ok"}
    assert found[0].keys() == {"check", "level", "message", "advice"}
    assert [finding["check"] for finding in found].count("health") == 4


def test_a_stopped_database_is_started_for_the_look(place: Path) -> None:
    ended = run_in_process(place, "doctor", "--address", NOWHERE)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"started for this look: psql -h {place / 'data'} -U postgres\n" in ended.stdout
    assert ended.stdout.endswith("\n1 warning\n")
    assert processes_of(place) == []


def test_a_directory_that_another_holds(place: Path) -> None:
    lock = os.open(place / "data" / "owner.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    ended = run_in_process(place, "doctor", "--address", NOWHERE)
    os.close(lock)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "is in use by" in ended.stdout


def test_where_nothing_is_yet_nothing_is_made(tmp_path: Path) -> None:
    ended = run_in_process(tmp_path, "doctor", "--address", NOWHERE)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "-> `commontrace serve` makes one" in ended.stdout
    assert ended.stdout.endswith("\n2 warnings\n")
    assert list(tmp_path.iterdir()) == []


def test_settings_that_are_wrong_are_named(tmp_path: Path) -> None:
    wrong = {"DATABASE_POOL_SIZE": "many", "LISTEN_ADDRESS": "nonsense"}
    ended = run_in_process(tmp_path, "doctor", "--address", NOWHERE, **wrong)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert all(f"problem  settings    {name}: " in ended.stdout for name in wrong)
    ended = run_in_process(tmp_path, "doctor", "--address", NOWHERE, LISTEN_ADDRESS="0.0.0.0:1")
    assert (ended.returncode, "nobody is authenticated" in ended.stdout) == (1, True)
    assert environment(tmp_path)["DATA_DIR"] not in map(str, tmp_path.iterdir())
