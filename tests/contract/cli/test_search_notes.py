"""What `commontrace search` says beside the hits: whether they answer, what is not found yet, what was not sent."""

import asyncio
import json
import re
from collections.abc import Iterator

import pytest

from commontrace.cli.exit_codes import USAGE
from tests.conftest import administer
from tests.contract.cli.command_line import Commands

NEAR = "redis: every expiry of the cache floods the database"
FAR = "who won the chess championship of 1972"


@pytest.fixture
def waiting(commands: Commands) -> Iterator[int]:
    """The number of traces without a vector, which no worker encodes."""
    for number in range(2):
        text = f"'A trace that waits, {number}'"
        run(
            commands,
            "WITH added AS (INSERT INTO traces (id, title, context_text, solution_text, contributor_id) SELECT"  # noqa: S608 - our own text
            f" gen_random_uuid(), {text}, 'c', 's', id FROM users LIMIT 1 RETURNING id)"
            " INSERT INTO encoding_jobs (trace_id, given_up_at) SELECT id, now() FROM added",
        )
    yield 2
    run(commands, "DELETE FROM encoding_jobs; DELETE FROM traces WHERE title LIKE 'A trace that waits%'")


def run(commands: Commands, statement: str) -> None:
    asyncio.run(administer(commands.database_url, statement))


def test_hits_that_hardly_help_are_said_to_be_unlikely(commands: Commands) -> None:
    code, output, message = commands.run("search", FAR, "-n", "1")
    assert (code, len(output.splitlines())) == (0, 3)
    assert re.fullmatch(r"no trace is close in meaning: an answer is unlikely \(probability \d{1,2} %\)\n", message)
    for quiet in ([NEAR], [FAR, "--ids"], [FAR, "--json"]):
        assert commands.output("search", *quiet, "-n", "1")


def test_improbable_answers_are_not_printed(commands: Commands) -> None:
    code, output, message = commands.run("search", FAR, "--min-probability", "0.3")
    assert (code, output) == (0, "nothing found\n")
    assert re.fullmatch(r"an answer is too improbable \(probability \d{1,2} %\)\n", message)
    assert "Redis" in commands.output("search", NEAR, "--min-probability", "0.3", "-n", "1")
    found = json.loads(commands.output("search", NEAR, "-n", "1", "--json"))
    for arguments, why in (
        (["--like", found["id"], "--min-probability", "0.3"], "--min-probability needs a text"),
        ([NEAR, "--min-probability", "1.5"], "--min-probability"),
    ):
        code, output, message = commands.run("search", *arguments)
        assert (code, output) == (USAGE, "")
        assert why in " ".join(message.split())


def test_traces_that_wait_for_their_vector_are_told(commands: Commands, waiting: int) -> None:
    code, _, message = commands.run("search", NEAR, "--min-similarity", "0.3")
    assert (code, message) == (0, f"{waiting} traces wait for their vector: no search finds them yet\n")
    run(commands, "DELETE FROM encoding_jobs WHERE trace_id = (SELECT trace_id FROM encoding_jobs LIMIT 1)")
    _, _, message = commands.run("search", NEAR, "--min-similarity", "0.3")
    assert message == "1 trace waits for its vector: no search finds it yet\n"


def test_the_summary_is_the_last_line_of_json(commands: Commands) -> None:
    *hits, last = map(json.loads, commands.output("search", NEAR, "-n", "2", "--json", "--summary").splitlines())
    assert [hit["title"] for hit in hits] != []
    summary = last["summary"]
    assert (summary["hit_count"], summary["pending_count"], summary["stop_reason"]) == (2, 0, "STOP_REASON_LIMIT")
    assert 0.2 <= summary["answer_probability"] <= 1
    assert summary["verdict"] in ("VERDICT_LIKELY", "VERDICT_UNCERTAIN")
    [silent] = commands.run("search", FAR, "--json", "--summary", "--min-probability", "0.9")[1].splitlines()
    assert json.loads(silent)["summary"]["stop_reason"] == "STOP_REASON_MIN_PROBABILITY"
    code, _, message = commands.run("search", NEAR, "--summary")
    assert code == USAGE
    assert "--summary needs --json" in message
