import json

import pytest

from tests.contract.command_line import TEXTS, Commands

BOB, EVE = (("--as", f"{name}@example.org") for name in ("bob", "eve"))


@pytest.fixture(scope="module")
def trace_id(commands: Commands) -> str:
    return str(commands.contributed(*TEXTS, "--as", "ada@example.org")["id"])


def test_votes_are_cast_changed_and_retracted(commands: Commands, trace_id: str) -> None:
    assert commands.output("vote", trace_id, "up", *BOB) == "voted up: 1 up, 0 down, trust 0.21, pending\n"
    assert commands.output("vote", trace_id, "up", *EVE) == "voted up: 2 up, 0 down, trust 0.34, validated\n"
    assert commands.output("get", trace_id).splitlines()[1] == "validated  +2 -0  trust 0.34"
    assert commands.output("list", "-n", "1").splitlines()[1].endswith("  validated  +2 -0")
    assert commands.output("search", "flickering lamp", "-n", "1").splitlines()[1] == "        validated  +2 -0"
    down = ("vote", trace_id, "down", "--reason", "outdated", "--comment", "Not LEDs", "--revision", "1")
    assert commands.output(*down, *EVE) == "voted down: 1 up, 1 down, trust 0.09, pending\n"
    assert commands.output("vote", trace_id, "retract", *EVE) == "retracted: 1 up, 0 down, trust 0.21, pending\n"
    assert "VOTE_NOT_FOUND" in commands.refusal("vote", trace_id, "retract", *EVE)
    cast = json.loads(commands.output(*down, *EVE, "--json"))
    assert (cast["vote"]["reason"], cast["vote"]["comment"]) == ("DOWN_REASON_OUTDATED", "Not LEDs")
    assert (cast["tally"]["confirmation_count"], cast["tally"]["down_count"]) == (1, 1)
    assert json.loads(commands.output("vote", trace_id, "retract", *EVE, "--json"))["tally"]["down_count"] == 0


def test_nobody_votes_on_their_own_trace_or_on_another_revision(commands: Commands, trace_id: str) -> None:
    assert "OWN_TRACE" in commands.refusal("vote", trace_id, "up", "--as", "ada@example.org")
    assert "REVISION_NOT_CURRENT" in commands.refusal("vote", trace_id, "up", "--revision", "2", *BOB)
