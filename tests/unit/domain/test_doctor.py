"""Doctor's checks of versions and settings that no Postgres of these tests has."""

from dataclasses import replace

from commontrace.domain.doctor.findings import Level
from commontrace.domain.doctor.memory import MemoryFacts, check_memory
from commontrace.domain.doctor.postgres import (
    DURABILITY,
    PostgresFacts,
    WritingFacts,
    check_postgres,
    check_room,
    check_writing,
)

GOOD = PostgresFacts(
    version="16.0",
    major=16,
    encoding="UTF8",
    user="ada",
    database="traces",
    search_path="public",
    schema="public",
    may_create_tables=True,
    taken=(),
    pgvector="0.8.4",
    pgvector_available="0.10.0",
    pgvector_schema="public",
    pgvector_is_visible=True,
    durability=dict.fromkeys(DURABILITY, "on"),
    remedies=dict.fromkeys(DURABILITY, "turn it on"),
)


def problems(facts: PostgresFacts) -> dict[str, str]:
    """The advice for each problem."""
    found = check_postgres(facts)
    return {finding.message: finding.advice for finding in found if finding.level is Level.PROBLEM}


def test_the_oldest_supported_versions_pass() -> None:
    assert problems(GOOD) == {}
    assert problems(replace(GOOD, version="18beta1", major=18, pgvector="0.10.1", pgvector_available=None)) == {}


def test_older_versions_are_problems() -> None:
    assert problems(replace(GOOD, version="15.13", major=15)) == {
        "PostgreSQL 15.13 is too old": "move to PostgreSQL 16 or newer"
    }
    old = replace(GOOD, pgvector="0.8.3")
    assert problems(old) == {"pgvector 0.8.3 is too old": "psql: ALTER EXTENSION vector UPDATE"}
    install = "install pgvector 0.8.4 or newer on the database's machine"
    assert problems(replace(old, pgvector_available="0.8.3")) == {"pgvector 0.8.3 is too old": install}
    assert problems(replace(GOOD, pgvector=None, pgvector_available=None)) == {
        "the extension vector is not there": install
    }


def test_each_setting_that_risks_data_is_a_problem() -> None:
    found = problems(replace(GOOD, durability=dict.fromkeys(DURABILITY, "off")))
    assert [message.partition(" ")[0] for message in found] == [*DURABILITY]
    assert problems(replace(GOOD, durability={**GOOD.durability, "synchronous_commit": "local"})) == {}


def test_a_database_that_cannot_be_written_to_is_a_problem() -> None:
    writing = WritingFacts(is_standby=False, is_off_by_default=False, remedy="turn it off")
    assert check_writing(writing).level is Level.OK
    standby = check_writing(replace(writing, is_standby=True, is_off_by_default=True))
    assert (standby.level, "pg_promote()" in standby.advice) == (Level.PROBLEM, True)
    assert check_writing(replace(writing, is_off_by_default=True)).advice == "psql: turn it off"


def test_room_for_the_tables() -> None:
    assert check_room(GOOD) == []
    for facts in (
        replace(GOOD, schema=None),
        replace(GOOD, may_create_tables=False),
        replace(GOOD, taken=("users",), may_create_tables=False),
    ):
        [finding] = check_room(facts)
        assert (finding.check, finding.level) == ("schema", Level.PROBLEM)


def test_an_extension_off_the_search_path_is_put_behind_it() -> None:
    hidden = replace(GOOD, pgvector_schema="elsewhere", pgvector_is_visible=False)
    [advice] = problems(hidden).values()
    assert advice == "psql: ALTER ROLE ada IN DATABASE traces SET search_path = public, elsewhere"
    [advice] = problems(replace(hidden, search_path="")).values()
    assert advice.endswith("SET search_path = elsewhere")


def test_buffers_that_are_too_small_and_machines_that_are() -> None:
    megabyte = 1 << 20
    facts = MemoryFacts(
        vector_index=600 * megabyte, tables=200 * megabyte, shared_buffers=800 * megabyte, cache=4096 * megabyte
    )
    assert check_memory("index", facts, available=None).level is Level.OK
    short = replace(facts, shared_buffers=799 * megabyte)
    small = check_memory("index", short, available=1024 * megabyte)
    assert small.level is Level.WARNING
    assert small.advice.startswith("EMBEDDED_SHARED_BUFFERS=1GB, ")
    assert small.advice.endswith("this machine or container has 1.0 GB of memory: give it more first")
    assert "give it more" not in check_memory("index", short, available=2048 * megabyte).advice
    own = check_memory("index", short, available=None)
    assert own.message.endswith("effective_cache_size says, 4.0 GB")
    assert own.advice.startswith("psql: ALTER SYSTEM SET shared_buffers = '1GB'; then restart Postgres")
    assert "at least 2GB of memory" in own.advice
    large = check_memory("index", replace(short, vector_index=1200 * megabyte), available=None)
    assert "'1792MB'" in large.advice
