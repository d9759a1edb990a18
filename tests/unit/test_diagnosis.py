"""What doctor says of versions and settings that no Postgres of these tests has."""

from dataclasses import replace

from commontrace.core.diagnosis import DURABILITY, Level, PostgresFacts, of_postgres

GOOD = PostgresFacts(
    version="16.0",
    major=16,
    pgvector="0.8.4",
    pgvector_available="0.10.0",
    durability=dict.fromkeys(DURABILITY, "on"),
    remedies=dict.fromkeys(DURABILITY, "turn it on"),
)


def problems(facts: PostgresFacts) -> dict[str, str]:
    """The advice for each problem."""
    found = of_postgres(facts)
    return {finding.message: finding.advice for finding in found if finding.level is Level.PROBLEM}


def test_the_oldest_supported_versions_are_well() -> None:
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
