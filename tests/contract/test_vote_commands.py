import json
import re

import pytest

from tests.contract.command_line import ABSENT, TEXTS, Commands

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


def test_votes_are_listed_with_reasons_and_comments(commands: Commands) -> None:
    trace_id = commands.contributed(*TEXTS, "--on-duplicate", "allow", "--as", "ada@example.org")["id"]
    assert commands.output("votes", trace_id) == "nobody has voted on it\n"
    commands.output("vote", trace_id, "up", *BOB)
    comment = "It flickers still, with every bulb that was tried, and in every socket"
    cast = json.loads(
        commands.output("vote", trace_id, "down", "--reason", "incorrect", "--comment", comment, *EVE, "--json")
    )["vote"]
    down, up = commands.output("votes", trace_id).splitlines()
    moment = r"20\d\d-\d\d-\d\d \d\d:\d\d UTC"
    assert re.fullmatch(rf"down  incorrect  revision 1  {moment}  {cast['voter_id']}  {comment}", down)
    assert re.fullmatch(rf"up {{15}}revision 1  {moment}  [0-9a-f-]{{36}}", up)
    assert commands.output("votes", trace_id, "-n", "1") == f"{down}\n"
    listed = [json.loads(line) for line in commands.output("votes", trace_id, "--json").splitlines()]
    assert listed[0] == cast
    table = re.sub(r"\x1b\[[0-9;]*m", "", commands.on_terminal("votes", trace_id, COLUMNS="80")).splitlines()
    assert table[0].split() == ["VOTE", "REASON", "REV", "WHEN", "(UTC)", "VOTER,", "COMMENT"]
    assert cast["voter_id"] in table[1]
    assert max(map(len, table)) <= 80
    assert " ".join(" ".join(table[2:4]).split()) in comment
    # Too narrow for columns: lines, that the terminal breaks.
    narrow = re.sub(r"\x1b\[[0-9;]*m", "", commands.on_terminal("votes", trace_id, COLUMNS="60"))
    assert down in narrow.splitlines()
    assert "TRACE_NOT_FOUND" in commands.refusal("votes", ABSENT)
