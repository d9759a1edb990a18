import json
import re
from uuid import uuid4

import pytest

from tests.contract.cli.command_line import ABSENT, TEXTS, Commands

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


def test_people_who_have_names_are_shown_by_them(commands: Commands) -> None:
    lin, kay = (f"{name}-{uuid4()}@example.org" for name in ("lin", "kay"))
    trace = commands.contributed(*TEXTS, "--on-duplicate", "allow", "--as", lin)
    commands.output("vote", trace["id"], "up", "--as", kay)
    assert commands.output("users", "create", lin, "--name", "Lin\n Yun").endswith(
        f"was there already, now called Lin Yun: {trace['contributor_id']}\n"
    )
    kay_id = commands.output("users", "create", kay, "--name", "Kay\u200d").split()[-1]
    by_lin = f"Lin Yun ({trace['contributor_id'][:8]})"
    assert commands.output("history", trace["id"]).splitlines()[2] == f"  by {by_lin}"
    assert f"  Kay\u200d ({kay_id[:8]})" in commands.output("votes", trace["id"])
    assert f"Kay\u200d ({kay_id[:8]})" in commands.on_terminal("votes", trace["id"], COLUMNS="100")
    cast = json.loads(commands.output("vote", trace["id"], "up", "--as", kay, "--json"))["vote"]
    assert cast["voter_name"] == "Kay\u200d"
    listed = commands.output("users", "list").splitlines()
    assert f"{kay_id}  {kay}  Kay\u200d" in listed
    assert any(line.endswith("  seed@commontrace.dev  CommonTrace Seed") for line in listed)
    in_json = [json.loads(line) for line in commands.output("users", "list", "--json").splitlines()]
    assert {"id": kay_id, "email": kay, "name": "Kay\u200d"}.items() <= next(
        user for user in in_json if user["email"] == kay
    ).items()
    # Without a name, it is told that there is one, and nothing of it is changed.
    assert commands.output("users", "create", kay) == f"{kay} was there already: {kay_id}\n"
    assert "Kay" in commands.output("votes", trace["id"])
    assert "can be seen" in commands.refusal("users", "create", kay, "--name", "\u200b")
    assert "100 characters" in commands.refusal("users", "create", kay, "--name", "x" * 101)
