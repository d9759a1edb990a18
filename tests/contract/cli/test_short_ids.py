"""Ids on the command line: `--ids` for scripts, prefixes for people."""

import asyncio
import json
from uuid import uuid4

import pytest

from commontrace.cli.exit_codes import NOT_FOUND, USAGE
from tests.conftest import administer
from tests.contract.cli.command_line import ABSENT, Commands

ADA, BOB = ("--as", "ada@example.org"), ("--as", "bob@example.org")


def contributed(commands: Commands, **fields: object) -> str:
    trace = {"title": f"Short {uuid4()}", "context": f"A short id {uuid4()}", "solution": "s"} | fields
    return str(commands.contributed("-", *ADA, stdin=json.dumps(trace))["id"])


def test_ids_alone_are_what_no_stranger_can_write(commands: Commands) -> None:
    trace_id = contributed(commands, title=f'"id": "{ABSENT}"', metadata={"id": ABSENT, "z": {"id": "x"}})
    assert commands.output("list", "-n", "1", "--ids") == f"{trace_id}\n"
    hits = commands.output("search", "A short id", "--ids", "-n", "1000").split()
    assert trace_id in hits
    assert len(hits) == len(set(hits)) == len(commands.output("list", "--ids", "-n", "1000").split())
    for both in (["list"], ["search", "x"]):
        code, output, message = commands.run(*both, "--ids", "--json")
        assert (code, output) == (USAGE, "")
        assert "give either --ids or --json" in json.loads(message)["error"]
    for nothing, why in (
        (["list", "--until", "2001-01-01"], ""),
        (
            ["search", "x", "--min-similarity", "1", "-n", "1", "--ranking", "cosine"],
            "at least 1 trace less similar than asked for\n",
        ),
    ):
        assert commands.run(*nothing, "--ids") == (0, "", f"{why}nothing found\n")


def test_every_command_takes_the_beginning_of_an_id(commands: Commands) -> None:
    trace_id = contributed(commands)
    for short in (
        trace_id[:10],
        trace_id[:14].upper(),
        trace_id[:13].replace("-", ""),
        trace_id[:-1],
        trace_id.replace("-", ""),
    ):
        assert commands.output("get", short, "--json") == commands.output("get", trace_id, "--json")
    short = trace_id[:12]
    assert trace_id not in commands.output("search", "--like", short, "--ids")
    assert commands.output("vote", short, "up", *BOB).startswith("voted up: 1 up")
    assert commands.output("votes", short) == commands.output("votes", trace_id)
    assert commands.output("vote", short, "retract", *BOB).startswith("retracted")
    assert commands.output("update", short, "--agent-model", "m", *ADA) == "updated\n"
    assert commands.output("history", short) == commands.output("history", trace_id)
    assert commands.output("delete", short, *ADA).startswith(f"deleted {trace_id}")
    assert commands.output("undelete", short, *ADA) == f"back again: {trace_id}\n"
    fields = {"title": "It replaces", "context": str(uuid4()), "solution": "s"}
    newer = commands.contributed("-", "--supersedes", short, *ADA, stdin=json.dumps(fields))
    assert newer["supersedes_trace_id"] == trace_id
    # One that others replace is in no list without a filter.
    assert commands.output("hide", short, "spam").startswith(f"hidden {trace_id}")
    assert commands.output("unhide", trace_id).startswith("no longer hidden")
    mine = newer["contributor_id"]
    by = ("list", "--ids", "-n", "1000", "--by")
    assert commands.output(*by, mine[:9]) == commands.output(*by, mine) == commands.output(*by, "me", *ADA)
    assert commands.output("purge", short, "--yes") == f"purged {trace_id}\n"


def test_an_id_that_is_not_sure_is_not_taken(commands: Commands) -> None:
    one, other = contributed(commands), contributed(commands)
    same = f"0000abcd-{one[9:-1]}"
    for trace_id, last in ((one, "0"), (other, "1")):
        both = "; ".join(
            f"UPDATE {table} SET {key} = '{same}{last}' WHERE {key} = '{trace_id}'"  # noqa: S608 - our own ids
            for table, key in (("traces", "id"), ("trace_signs", "trace_id"))
        )
        asyncio.run(administer(commands.database_url, f"SET session_replication_role = replica; {both}"))
    code, output, message = commands.run("delete", "0000abcd", *ADA)
    assert (code, output) == (USAGE, "")
    assert f"such as {same}" in " ".join(message.split())
    code, output, message = commands.run("vote", "0000abce", "up", *BOB)
    assert (code, output) == (NOT_FOUND, "")
    assert message.startswith("commontrace: no id begins with '0000abce'")
    assert "of yours" in commands.refusal("undelete", "0000abce", *BOB)
    assert "'000' is too short" in commands.refusal("get", "000")
    for given, said in (("nonsense", "MALFORMED_ID"), ("", "FIELD_REQUIRED"), (one + "0", "MALFORMED_ID")):
        assert said in commands.refusal("get", given)


@pytest.mark.parametrize("command", [["rotate"], ["revoke"]])
def test_keys_are_named_by_the_beginning_of_their_ids(commands: Commands, command: list[str]) -> None:
    user = f"{uuid4()}@example.org"
    commands.output("users", "create", user)
    commands.run("keys", "create", user)
    key_id = commands.output("keys", "list", user).split()[0]
    code, _, _ = commands.run("keys", *command, key_id[:10])
    assert code == 0
    for given in ("0000000", "nonsense", "a"):
        code, output, message = commands.run("keys", *command, given)
        assert (code, output) == (USAGE, "")
        assert "keys list" in message or "too short" in message
