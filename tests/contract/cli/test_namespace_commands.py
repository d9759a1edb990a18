"""`commontrace namespaces`: from `enable` to `delete`, members, and keys that are bound."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from commontrace.cli.exit_codes import NOT_FOUND, USAGE
from tests.contract.cli.command_line import ABSENT, Commands
from tests.contract.cli.test_trace_commands import a_trace
from tests.faults.server_process import ServerProcess
from tests.support.command_in_process import run_in_process


@pytest.fixture
def keyed(namespaced: Commands, tmp_path: Path) -> Iterator[Commands]:
    """Commands against a server that asks for keys, on the same database."""
    with ServerProcess(tmp_path, DATABASE_URL=namespaced.database_url, AUTHENTICATION="keys") as server:
        yield Commands(server, tmp_path, namespaced.database_url)


def facts_of(output: str) -> dict[str, str]:
    """Returns what `info` prints, by its first column."""
    return dict(re.split(" {2,}", line) for line in output.splitlines())


def lines_of(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_namespaces_have_to_be_enabled(tmp_path: Path, database_url: str) -> None:
    with ServerProcess(tmp_path, DATABASE_URL=database_url) as server:
        commands = Commands(server, tmp_path, database_url)
        assert "NAMESPACES_DISABLED: " in commands.refusal("namespaces", "create", "team")
        assert commands.output("namespaces", "enable") == "namespaces are enabled from now on\n"
        assert commands.output("namespaces", "enable") == "namespaces were enabled already\n"
        assert commands.output("namespaces", "create", "team") == "created team\n"


def test_a_database_of_an_older_revision_is_migrated_first(tmp_path: Path, empty_database_url: str) -> None:
    ran = run_in_process(tmp_path, "namespaces", "enable", DATABASE_URL=empty_database_url)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "commontrace: the database was never migrated: run `commontrace migrate`\n"


def test_a_namespace_is_created_described_changed_and_deleted(namespaced: Commands) -> None:
    name = f"team-{uuid4().hex[:8]}"
    creating = ("namespaces", "create", name, "--description", "What our team learned")
    assert namespaced.output(*creating) == f"created {name}\n"
    described = namespaced.output("namespaces", "describe", name)
    assert re.fullmatch(
        rf"namespace   {name}\nabout       What our team learned\nvisibility  private\ntraces      0\n"
        r"you are     owner\ncreated     20\d\d-\d\d-\d\d \d\d:\d\d UTC\n",
        described,
    )
    changed = namespaced.output("namespaces", "update", name, "--visibility", "open", "--description", "")
    assert "visibility  open\n" in changed
    assert "about" not in changed
    told = json.loads(namespaced.output("namespaces", "describe", name, "--json"))
    assert (told["visibility"], told["my_role"]) == ("NAMESPACE_VISIBILITY_OPEN", "NAMESPACE_ROLE_OWNER")
    assert f"     0  {name}  open  owner\n" in namespaced.output("namespaces", "list")
    assert name in {found["name"] for found in lines_of(namespaced.output("namespaces", "list", "--json"))}
    heading, *_ = namespaced.on_terminal("namespaces", "list", COLUMNS="100", TERM="dumb").splitlines()
    assert heading.split("  ")[0] == "TRACES"
    assert namespaced.output("namespaces", "delete", name) == f"deleted {name}\n"
    assert "NAMESPACE_EXISTS" in namespaced.refusal("namespaces", "create", name)


def test_members_are_granted_roles(namespaced: Commands, team: str) -> None:
    namespaced.output("users", "create", "grace@example.org", "--name", "Grace")
    granting = ("namespaces", "grant", team, "grace@example.org")
    assert namespaced.output(*granting, "--role", "reader") == f"grace@example.org is reader of {team}\n"
    assert json.loads(namespaced.output(*granting, "--role", "writer", "--json"))["role"] == "NAMESPACE_ROLE_WRITER"
    members = namespaced.output("namespaces", "members", team)
    assert re.search(r"^writer     20\d\d-\d\d-\d\d  grace@example\.org  Grace$", members, re.MULTILINE)
    table = namespaced.on_terminal("namespaces", "members", team, COLUMNS="100", TERM="dumb").splitlines()
    assert table[0].split() == ["ROLE", "SINCE", "MEMBER"]
    revoking = ("namespaces", "revoke", team, "grace@example.org")
    assert namespaced.output(*revoking) == f"grace@example.org is no longer writer of {team}\n"
    assert "MEMBER_NOT_FOUND" in namespaced.refusal(*revoking)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["namespaces", "describe", "absent"], NOT_FOUND, "NAMESPACE_NOT_FOUND"),
        (["namespaces", "create", "Our team"], 1, "INVALID_NAMESPACE"),
        (["namespaces", "create", "a", "--visibility", "closed"], USAGE, "'private', 'readable', 'open'"),
        (["namespaces", "update", "commons"], USAGE, "say what to change: --description or --visibility"),
        (["namespaces", "grant", "commons", "ada@example.org"], USAGE, "'--role'"),
        (["namespaces", "grant", "commons", "ada@example.org", "--role", "king"], USAGE, "'reader', 'writer'"),
        (["namespaces", "grant", "commons", "nobody@example.org", "--role", "reader"], NOT_FOUND, "USER_NOT_FOUND"),
        (["namespaces", "delete", "commons"], 1, "FIELD_NOT_ALLOWED"),
        (["promote", ABSENT], USAGE, "'--to'"),
        (["promote", ABSENT, "--to", "commons"], NOT_FOUND, "TRACE_NOT_FOUND"),
        (["search", "x", "--namespace", "absent"], NOT_FOUND, "NAMESPACE_NOT_FOUND"),
        (["list", "--namespace", "B@d"], 1, "INVALID_NAMESPACE"),
        (["watch", "--namespace", "absent"], NOT_FOUND, "NAMESPACE_NOT_FOUND"),
        (["contribute", *a_trace(), "--namespace", "absent"], NOT_FOUND, "NAMESPACE_NOT_FOUND"),
        (["import", "/dev/null", "--namespace", "a", "--map", "a=b"], USAGE, "give either --namespace or --map"),
        (["import", "/dev/null", "--map", "a"], USAGE, "--map must be OLD=NEW"),
        (["keys", "create", "ada@example.org", "--namespace", "absent"], 1, "absent"),
        *(
            (["keys", "create", "ada@example.org", "--namespace", "commons", "--scope", scope], USAGE, scope)
            for scope in ("tags:write", "namespaces:write")
        ),
    ],
)
def test_what_cannot_be_is_explained(namespaced: Commands, arguments: list[str], code: int, said: str) -> None:
    assert said in namespaced.refusal(*arguments)
    assert namespaced.run(*arguments)[0] == code


def test_a_bound_key_reaches_its_namespaces_alone(namespaced: Commands, keyed: Commands, team: str, web: str) -> None:
    namespaced.output("users", "create", "lin@example.org")
    for name, role in ((team, "writer"), (web, "reader")):
        namespaced.output("namespaces", "grant", name, "lin@example.org", "--role", role)
    binding = ("--namespace", team, "--namespace", web)
    _, key, _ = namespaced.run("keys", "create", "lin@example.org", *binding)
    names = sorted([team, web])
    shown = namespaced.output("keys", "list", "lin@example.org").splitlines()
    assert shown[1] == f"    may traces:read, traces:write, votes:write in {', '.join(names)}"
    [listed] = lines_of(namespaced.output("keys", "list", "lin@example.org", "--json"))
    assert listed["namespaces"] == names
    bound = keyed.with_variables(COMMONTRACE_KEY=key.strip())
    told = facts_of(bound.output("info"))
    assert (told["you may"], told["bound to"]) == ("traces:read, traces:write, votes:write", ", ".join(names))
    assert [found["name"] for found in lines_of(bound.output("namespaces", "list", "--json"))] == names
    assert "FIELD_REQUIRED" in bound.refusal("contribute", *a_trace())
    assert "NAMESPACE_FORBIDDEN" in bound.refusal("contribute", *a_trace(), "--namespace", web)
    assert bound.output("contribute", *a_trace(), "--namespace", team).endswith(f"  in {team}\n")
    assert bound.run("list", "--namespace", "commons")[0] == NOT_FOUND
    _, key, _ = namespaced.run("keys", "create", "lin@example.org", "--scope", "traces:read")
    [_, last] = lines_of(namespaced.output("keys", "list", "lin@example.org", "--json"))
    assert last["namespaces"] is None
    told = facts_of(keyed.with_variables(COMMONTRACE_KEY=key.strip()).output("info"))
    assert told["you may"] == "traces:read"
    assert "bound to" not in told


def test_the_doctor_does_not_take_an_empty_namespace_for_another_database(
    namespaced: Commands, keyed: Commands, team: str
) -> None:
    namespaced.output("users", "create", "mia@example.org")
    namespaced.output("namespaces", "grant", team, "mia@example.org", "--role", "reader")
    _, key, _ = namespaced.run("keys", "create", "mia@example.org", "--namespace", team)
    _, output, message = keyed.with_variables(COMMONTRACE_KEY=key.strip()).run("doctor")
    assert "another one than that seen here" not in output + message
