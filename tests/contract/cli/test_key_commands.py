"""`commontrace users` and `keys`, beside a running server."""

import json
import re

from tests.contract.cli.command_line import Commands
from tests.support.command_in_process import run_in_process

USER = "keyed@example.org"
KEY = re.compile(r"ct_[0-9a-f]{32}_[0-9A-Za-z]{49}\n")


def test_keys_from_the_first_to_the_last(commands: Commands) -> None:
    assert "users create" in commands.refusal("keys", "create", USER)
    assert commands.output("users", "create", "Keyed@example.org", "--name", "Kay").startswith(f"{USER} created: ")
    code, key, note = commands.run("keys", "create", USER, "--label", "a laptop", "--expires-in", "90d")
    assert (code, bool(KEY.fullmatch(key))) == (0, True)
    assert "only time" in note
    caller = who_has(commands, key.strip())
    assert caller["email"] == USER
    assert caller["scopes"] == ["SCOPE_TRACES_READ", "SCOPE_TRACES_WRITE", "SCOPE_VOTES_WRITE"]
    shown = commands.output("keys", "list", USER)
    assert key.strip() not in shown
    assert "live" in shown
    key_id = shown.split()[0]
    _, second, _ = commands.run("keys", "rotate", key_id, "--json")
    assert USER in commands.output("keys", "revoke", key_id)
    listed = [json.loads(line) for line in commands.output("keys", "list", USER, "--json").splitlines()]
    assert [(entry["state"], entry["label"]) for entry in listed] == [("REVOKED", "a laptop"), ("LIVE", "a laptop")]
    assert who_has(commands, json.loads(second)["key"]) == caller
    assert "revoked" in refusal_of(commands, key.strip())


def test_what_is_wrong_is_said_without_repeating_keys(commands: Commands) -> None:
    key = "ct_" + "0" * 32 + "_" + "a" * 49
    said = commands.refusal("keys", "revoke", key)
    assert "keys list" in said
    assert key not in said
    assert "90d" in commands.refusal("keys", "create", USER, "--expires-in", "soon")
    for length in ("999999999w", "36501d", "9999999999d"):
        assert "is more than 36500d" in commands.refusal("keys", "create", USER, "--expires-in", length)
    assert key not in refusal_of(commands, key)
    assert "COMMONTRACE_KEY" in refusal_of(commands, "\n")


def who_has(commands: Commands, key: str) -> dict[str, object]:
    ended = run_in_process(commands.place, "info", "--json", **commands.variables, COMMONTRACE_KEY=key)
    assert (ended.returncode, ended.stderr) == (0, "")
    caller = json.loads(ended.stdout)["caller"]
    assert isinstance(caller, dict)
    return caller


def refusal_of(commands: Commands, key: str) -> str:
    ended = run_in_process(commands.place, "info", **commands.variables, COMMONTRACE_KEY=key)
    assert (ended.returncode in {1, 2}, ended.stdout) == (True, "")
    return ended.stderr
