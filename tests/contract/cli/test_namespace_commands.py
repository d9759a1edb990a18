"""`commontrace namespaces` and `promote`, and --namespace of the commands that store and look."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from commontrace.cli.exit_codes import CONFLICT, NOT_FOUND, USAGE
from tests.contract.cli.command_line import ABSENT, Commands
from tests.contract.cli.test_import_commands import a_file, a_line
from tests.contract.cli.test_trace_commands import a_trace
from tests.contract.cli.test_watch_command import ended, line_of, watching
from tests.faults.server_process import ServerProcess
from tests.support.command_in_process import run_in_process


@pytest.fixture(autouse=True, scope="module")
def enabled(commands: Commands) -> None:
    """Namespaces, of which the database has had none but `commons`."""
    code, _, message = commands.run("namespaces", "create", "early")
    assert (code, message.startswith("commontrace: NAMESPACES_DISABLED: ")) == (CONFLICT, True)
    assert commands.output("namespaces", "enable") == "namespaces are enabled from now on\n"
    assert commands.output("namespaces", "enable") == "namespaces were enabled already\n"


@pytest.fixture
def team(commands: Commands) -> str:
    """A namespace of its own."""
    return created(commands)


def created(commands: Commands, *options: str) -> str:
    name = f"team-{uuid4().hex[:8]}"
    assert commands.output("namespaces", "create", name, *options) == f"created {name}\n"
    return name


def run_in(commands: Commands, names: str, *arguments: str) -> tuple[int, str, str]:
    """Runs a command with the namespaces of the environment."""
    ran = run_in_process(commands.place, *arguments, **commands.variables, COMMONTRACE_NAMESPACE=names)
    return ran.returncode, ran.stdout, ran.stderr


def lines_of(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_namespace_is_created_described_changed_and_deleted(commands: Commands) -> None:
    name = created(commands, "--description", "What our team learned")
    described = commands.output("namespaces", "describe", name)
    assert re.fullmatch(
        rf"namespace   {name}\nabout       What our team learned\nvisibility  private\ntraces      0\n"
        r"you are     owner\ncreated     20\d\d-\d\d-\d\d \d\d:\d\d UTC\n",
        described,
    )
    changed = commands.output("namespaces", "update", name, "--visibility", "open", "--description", "")
    assert "visibility  open\n" in changed
    assert "about" not in changed
    told = json.loads(commands.output("namespaces", "describe", name, "--json"))
    assert (told["visibility"], told["my_role"]) == ("NAMESPACE_VISIBILITY_OPEN", "NAMESPACE_ROLE_OWNER")
    assert f"     0  {name}  open  owner\n" in commands.output("namespaces", "list")
    assert name in {found["name"] for found in lines_of(commands.output("namespaces", "list", "--json"))}
    heading, *_ = commands.on_terminal("namespaces", "list", COLUMNS="100", TERM="dumb").splitlines()
    assert heading.split("  ")[0] == "TRACES"
    assert commands.output("namespaces", "delete", name) == f"deleted {name}\n"
    assert "NAMESPACE_EXISTS" in commands.refusal("namespaces", "create", name)


def test_members_are_granted_roles(commands: Commands, team: str) -> None:
    commands.output("users", "create", "grace@example.org", "--name", "Grace")
    granting = ("namespaces", "grant", team, "grace@example.org")
    assert commands.output(*granting, "--role", "reader") == f"grace@example.org is reader of {team}\n"
    assert json.loads(commands.output(*granting, "--role", "writer", "--json"))["role"] == "NAMESPACE_ROLE_WRITER"
    members = commands.output("namespaces", "members", team)
    assert re.search(r"^writer     20\d\d-\d\d-\d\d  grace@example\.org  Grace$", members, re.MULTILINE)
    table = commands.on_terminal("namespaces", "members", team, COLUMNS="100", TERM="dumb").splitlines()
    assert table[0].split() == ["ROLE", "SINCE", "MEMBER"]
    revoking = ("namespaces", "revoke", team, "grace@example.org")
    assert commands.output(*revoking) == f"grace@example.org is no longer writer of {team}\n"
    assert "MEMBER_NOT_FOUND" in commands.refusal(*revoking)


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
def test_what_cannot_be_is_explained(commands: Commands, arguments: list[str], code: int, said: str) -> None:
    assert said in commands.refusal(*arguments)
    assert commands.run(*arguments)[0] == code


def test_the_namespace_is_printed_where_it_is_not_commons(commands: Commands, team: str) -> None:
    texts = a_trace(title="A kettle boils over")
    output = commands.output("contribute", *texts, "--namespace", team, "--tag", "kettle")
    trace_id = output.split()[1]
    assert output == f"stored {trace_id}  in {team}\n"
    assert commands.output("contribute", *texts, "--namespace", team) == f"already there: {trace_id}  in {team}\n"
    assert commands.output("get", trace_id).splitlines()[1] == f"pending  in {team}  #kettle"
    assert commands.output("list", "--namespace", team).splitlines()[1].endswith(f"  pending  in {team}  #kettle")
    hit = commands.output("search", "a kettle boils over", "--namespace", team).splitlines()
    assert hit[1] == f"        pending  in {team}  #kettle"
    assert json.loads(commands.output("get", trace_id, "--json"))["namespace"] == team
    commons = commands.contributed(*a_trace())["id"]
    for printed in (commands.output("get", commons), commands.output("list", "--namespace", "commons", "-n", "1")):
        assert "  in " not in printed.split("[")[0]


def test_a_promoted_trace_names_its_source(commands: Commands, team: str) -> None:
    trace = commands.contributed(*a_trace(), "--namespace", team)["id"]
    output = commands.output("promote", trace[:8], "--to", "commons")
    copy = output.split()[1]
    assert output == f"stored {copy}\n"
    assert f"promoted from {trace}" in commands.output("get", copy).splitlines()
    assert commands.output("promote", trace, "--to", "commons") == f"already there: {copy}\n"
    again = json.loads(commands.output("promote", trace, "--to", "commons", "--json"))
    assert (again["outcome"], again["id"], again["namespace"]) == ("existing", copy, "commons")
    other = created(commands)
    assert commands.output("promote", trace, "--to", other).endswith(f"  in {other}\n")


def test_an_empty_answer_says_where_was_looked(commands: Commands, team: str) -> None:
    impossible = ("search", "an answer", "--min-similarity", "1")
    code, output, message = commands.run(*impossible, "--namespace", team)
    assert (code, output, message) == (0, "nothing found\n", f"looked in {team}\n")
    _, _, message = commands.run(*impossible, "--namespace", "commons")
    assert "looked in" not in message
    _, _, message = commands.run(*impossible, "--namespace", team, "--namespace", "commons")
    assert f"looked in commons, {team}\n" in message


def test_the_environment_names_the_namespace(commands: Commands, team: str) -> None:
    code, output, message = run_in(commands, team, "contribute", *a_trace(), "--json")
    trace = json.loads(output)
    assert (code, message, trace["namespace"]) == (0, "", team)
    other = created(commands)
    second = json.loads(commands.output("contribute", *a_trace(), "--namespace", other, "--json"))["id"]
    assert run_in(commands, team, "list", "--ids") == (0, f"{trace['id']}\n", "")
    assert run_in(commands, f"{team} {other}", "list", "--ids") == (0, f"{second}\n{trace['id']}\n", "")
    assert run_in(commands, team, "list", "--ids", "--namespace", other) == (0, f"{second}\n", "")
    _, exported, message = run_in(commands, team, "export")
    assert [(record["id"], record["namespace"]) for record in lines_of(exported)] == [(trace["id"], team)]
    assert message == "exported 1 trace\n"
    _, found, _ = run_in(commands, f" {other} ", "search", "a title", "--ids")
    assert found == f"{second}\n"
    for command in (["contribute", *a_trace()], ["import", "/dev/null"]):
        code, output, message = run_in(commands, f"{team} {other}", *command)
        assert (code, output) == (USAGE, "")
        assert "give one with --namespace" in " ".join(message.split())
        code, output, message = run_in(commands, f"{team} {other}", *command, "--namespace", team)
        assert (code, message) == (0, "")


def test_an_import_goes_where_it_is_sent(commands: Commands, team: str, tmp_path: Path) -> None:
    def stored(namespace: str) -> set[str]:
        found = lines_of(commands.output("list", "--namespace", namespace, "--tag", "imported", "--json", "-n", "1000"))
        return {trace["title"] for trace in found}

    other, third = created(commands), created(commands)
    lines = [a_line(), a_line(namespace="commons"), a_line(namespace=other)]
    titles = [line["title"] for line in lines]
    file = a_file(tmp_path, *lines)
    summary = "imported 3 traces (0 were there already, 0 failed)\n"
    assert commands.output("import", file, "--wait") == summary
    assert set(titles[:2]) <= stored("commons")
    assert stored(other) == {titles[2]}
    # Another import, because it goes elsewhere.
    assert commands.output("import", file, "--wait", "--namespace", team) == summary
    assert stored(team) == set(titles)
    assert run_in(commands, team, "import", file, "--wait")[1].startswith("imported 0 traces (3 in an earlier run")
    mapped = ("import", file, "--wait", "--map", f"commons={third}", "--map", f"{other}={third}")
    code, output, message = run_in(commands, f"{team} {other}", *mapped)
    assert (code, output, message) == (0, summary, "")
    assert stored(third) == set(titles)
    code, output, message = commands.run("import", a_file(tmp_path, a_line(namespace="absent")))
    assert (code, output) == (1, "imported 0 traces (0 were there already, 1 failed)\n")
    assert ": NAMESPACE_NOT_FOUND: " in message


def test_an_export_comes_back_into_its_namespace(commands: Commands, team: str, tmp_path: Path) -> None:
    trace = commands.contributed(*a_trace(), "--namespace", team)
    code, _, message = commands.run("export", str(tmp_path / "team.jsonl"), "--namespace", team)
    assert (code, message) == (0, "exported 1 trace\n")
    [record] = lines_of((tmp_path / "team.jsonl").read_text())
    assert (record["id"], record["namespace"]) == (trace["id"], team)
    again = commands.output("import", str(tmp_path / "team.jsonl"), "--wait")
    assert again == "imported 0 traces (1 were there already, 0 failed)\n"


def test_a_watch_of_namespaces(commands: Commands, team: str) -> None:
    with watching(commands, "--namespace", team) as process:
        commands.contributed(*a_trace())
        trace = commands.contributed(*a_trace(title="A fuse blows"), "--namespace", team)["id"]
        assert re.fullmatch(rf".* UTC  created     in {team}  {trace}  A fuse blows", line_of(process))
        assert ended(process)[:2] == (130, "")


@pytest.fixture
def keyed(commands: Commands, tmp_path: Path) -> Iterator[Commands]:
    """Commands against a server that asks for keys, on the same database."""
    with ServerProcess(tmp_path, DATABASE_URL=commands.database_url, AUTHENTICATION="keys") as server:
        yield Commands(server, tmp_path, commands.database_url)


def test_a_bound_key_reaches_its_namespaces_alone(commands: Commands, keyed: Commands, team: str) -> None:
    other = created(commands)
    commands.output("users", "create", "lin@example.org")
    for name, role in ((team, "writer"), (other, "reader")):
        commands.output("namespaces", "grant", name, "lin@example.org", "--role", role)
    binding = ("--namespace", team, "--namespace", other)
    _, key, _ = commands.run("keys", "create", "lin@example.org", *binding)
    assert f"    may traces:read, traces:write, votes:write in {team}, {other}" in shown_keys(
        commands, "lin@example.org"
    )
    [listed] = lines_of(commands.output("keys", "list", "lin@example.org", "--json"))
    assert sorted(listed["namespaces"]) == sorted([team, other])
    told = dict(re.split(" {2,}", line) for line in with_key(keyed, key, "info")[1].splitlines())
    assert (told["you may"], told["bound to"].split(", ")) == (
        "traces:read, traces:write, votes:write",
        sorted([team, other]),
    )
    code, output, _ = with_key(keyed, key, "namespaces", "list", "--json")
    assert (code, [found["name"] for found in lines_of(output)]) == (0, sorted([team, other]))
    code, _, message = with_key(keyed, key, "contribute", *a_trace())
    assert (code, "FIELD_REQUIRED" in message) == (1, True)
    code, _, message = with_key(keyed, key, "contribute", *a_trace(), "--namespace", other)
    assert (code, "NAMESPACE_FORBIDDEN" in message) == (CONFLICT, True)
    code, output, _ = with_key(keyed, key, "contribute", *a_trace(), "--namespace", team)
    assert (code, output.endswith(f"  in {team}\n")) == (0, True)
    assert with_key(keyed, key, "list", "--ids", "--namespace", "commons")[0] == NOT_FOUND
    _, unbound, _ = commands.run("keys", "create", "lin@example.org", "--scope", "traces:read")
    assert {
        entry["namespaces"] is None for entry in lines_of(commands.output("keys", "list", "lin@example.org", "--json"))
    } == {
        True,
        False,
    }
    told = dict(re.split(" {2,}", line) for line in with_key(keyed, unbound, "info")[1].splitlines())
    assert told["you may"] == "traces:read"
    assert "bound to" not in told


def test_the_doctor_does_not_take_an_empty_namespace_for_another_database(
    commands: Commands, keyed: Commands, team: str
) -> None:
    commands.output("users", "create", "mia@example.org")
    commands.output("namespaces", "grant", team, "mia@example.org", "--role", "reader")
    _, key, _ = commands.run("keys", "create", "mia@example.org", "--namespace", team)
    _, output, message = with_key(keyed, key, "doctor")
    assert "another one than that seen here" not in output + message


def shown_keys(commands: Commands, email: str) -> list[str]:
    return commands.output("keys", "list", email).splitlines()


def with_key(keyed: Commands, key: str, *arguments: str) -> tuple[int, str, str]:
    ran = run_in_process(keyed.place, *arguments, **keyed.variables, COMMONTRACE_KEY=key.strip())
    return ran.returncode, ran.stdout, ran.stderr
