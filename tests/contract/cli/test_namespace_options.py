"""--namespace, --map and COMMONTRACE_NAMESPACE of the commands that store and look, and `promote`."""

import json
import re
from pathlib import Path
from typing import Any

from tests.contract.cli.command_line import Commands
from tests.contract.cli.conftest import a_namespace
from tests.contract.cli.test_import_commands import a_file, a_line
from tests.contract.cli.test_trace_commands import a_trace
from tests.contract.cli.test_watch_command import ended, line_of, watching


def lines_of(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_the_namespace_is_printed_where_it_is_not_commons(namespaced: Commands, team: str) -> None:
    texts = a_trace(title="A kettle boils over")
    output = namespaced.output("contribute", *texts, "--namespace", team, "--tag", "kettle")
    trace_id = output.split()[1]
    assert output == f"stored {trace_id}  in {team}\n"
    assert namespaced.output("contribute", *texts, "--namespace", team) == f"already there: {trace_id}  in {team}\n"
    assert namespaced.output("get", trace_id).splitlines()[1] == f"pending  in {team}  #kettle"
    assert namespaced.output("list", "--namespace", team).splitlines()[1].endswith(f"  pending  in {team}  #kettle")
    hit = namespaced.output("search", "a kettle boils over", "--namespace", team).splitlines()
    assert hit[1] == f"        pending  in {team}  #kettle"
    assert json.loads(namespaced.output("get", trace_id, "--json"))["namespace"] == team
    commons = namespaced.contributed(*a_trace())["id"]
    for printed in (namespaced.output("get", commons), namespaced.output("list", "--namespace", "commons", "-n", "1")):
        assert "  in " not in printed.split("[")[0]


def test_a_promoted_trace_names_its_source(namespaced: Commands, team: str, web: str) -> None:
    trace = namespaced.contributed(*a_trace(), "--namespace", team)["id"]
    output = namespaced.output("promote", trace[:8], "--to", "commons")
    copy = output.split()[1]
    assert output == f"stored {copy}\n"
    assert f"promoted from {trace}" in namespaced.output("get", copy).splitlines()
    assert namespaced.output("promote", trace, "--to", "commons") == f"already there: {copy}\n"
    again = json.loads(namespaced.output("promote", trace, "--to", "commons", "--json"))
    assert (again["outcome"], again["id"], again["namespace"]) == ("existing", copy, "commons")
    assert namespaced.output("promote", trace, "--to", web).endswith(f"  in {web}\n")


def test_an_empty_answer_says_where_was_looked(namespaced: Commands, team: str) -> None:
    impossible = ("search", "an answer", "--min-similarity", "1")
    code, output, message = namespaced.run(*impossible, "--namespace", team)
    assert (code, output, message) == (0, "nothing found\n", f"looked in {team}\n")
    _, _, message = namespaced.run(*impossible, "--namespace", "commons")
    assert "looked in" not in message
    _, _, message = namespaced.run(*impossible, "--namespace", team, "--namespace", "commons")
    assert f"looked in commons, {team}\n" in message


def test_the_environment_names_the_namespace(namespaced: Commands, team: str, web: str) -> None:
    in_team, in_both = (namespaced.with_variables(COMMONTRACE_NAMESPACE=names) for names in (team, f" {team}  {web} "))
    trace = in_team.contributed(*a_trace())
    assert trace["namespace"] == team
    other = in_team.contributed(*a_trace(), "--namespace", web)["id"]
    assert in_team.output("list", "--ids") == f"{trace['id']}\n"
    assert in_both.output("list", "--ids") == f"{other}\n{trace['id']}\n"
    assert in_both.output("list", "--ids", "--namespace", web) == f"{other}\n"
    assert in_team.output("search", "a title", "--ids") == f"{trace['id']}\n"
    _, exported, message = in_team.run("export")
    assert [(record["id"], record["namespace"]) for record in lines_of(exported)] == [(trace["id"], team)]
    assert message == "exported 1 trace\n"
    for command in (["contribute", *a_trace()], ["import", "/dev/null"]):
        assert "give one with --namespace" in in_both.refusal(*command)
        assert in_both.output(*command, "--namespace", team)


def test_an_import_goes_where_it_is_sent(namespaced: Commands, team: str, web: str, tmp_path: Path) -> None:
    def stored(namespace: str) -> set[str]:
        found = lines_of(
            namespaced.output("list", "--namespace", namespace, "--tag", "imported", "--json", "-n", "1000")
        )
        return {trace["title"] for trace in found}

    third = a_namespace(namespaced)
    lines = [a_line(), a_line(namespace="commons"), a_line(namespace=web)]
    titles = [line["title"] for line in lines]
    file = a_file(tmp_path, *lines)
    summary = "imported 3 traces (0 were there already, 0 failed)\n"
    assert namespaced.output("import", file, "--wait") == summary
    assert set(titles[:2]) <= stored("commons")
    assert stored(web) == {titles[2]}
    # Another import, because it goes elsewhere.
    assert namespaced.output("import", file, "--wait", "--namespace", team) == summary
    assert stored(team) == set(titles)
    in_team, in_both = (namespaced.with_variables(COMMONTRACE_NAMESPACE=names) for names in (team, f"{team} {web}"))
    assert in_team.output("import", file, "--wait").startswith("imported 0 traces (3 in an earlier run")
    mapped = ("import", file, "--wait", "--map", f"commons={third}", "--map", f"{web}={third}")
    assert in_both.output(*mapped) == summary
    assert stored(third) == set(titles)
    code, output, message = namespaced.run("import", a_file(tmp_path, a_line(namespace="absent")))
    assert (code, output) == (1, "imported 0 traces (0 were there already, 1 failed)\n")
    assert ": NAMESPACE_NOT_FOUND: " in message


def test_an_export_comes_back_into_its_namespace(namespaced: Commands, team: str, tmp_path: Path) -> None:
    trace = namespaced.contributed(*a_trace(), "--namespace", team)
    code, _, message = namespaced.run("export", str(tmp_path / "team.jsonl"), "--namespace", team)
    assert (code, message) == (0, "exported 1 trace\n")
    [record] = lines_of((tmp_path / "team.jsonl").read_text())
    assert (record["id"], record["namespace"]) == (trace["id"], team)
    again = namespaced.output("import", str(tmp_path / "team.jsonl"), "--wait")
    assert again == "imported 0 traces (1 were there already, 0 failed)\n"


def test_a_watch_of_namespaces(namespaced: Commands, team: str) -> None:
    with watching(namespaced, "--namespace", team) as process:
        namespaced.contributed(*a_trace())
        trace = namespaced.contributed(*a_trace(title="A fuse blows"), "--namespace", team)["id"]
        assert re.fullmatch(rf".* UTC  created     in {team}  {trace}  A fuse blows", line_of(process))
        code, output, message = ended(process)
    assert (code, output) == (130, "")
    [token] = re.findall(rf"^go on with: commontrace watch --namespace {team} --since (\S+)\n$", message)
    namespaced.output("delete", trace)
    with watching(namespaced.with_variables(COMMONTRACE_NAMESPACE=team), "--since", token, "--json") as process:
        event = json.loads(line_of(process))
        assert (event["type"], event["namespace"]) == ("TRACE_EVENT_TYPE_DELETED", team)
        assert ended(process)[2].startswith(f"go on with: commontrace watch --namespace {team} --since ")
    # A token is a position among all events.
    with watching(namespaced, "--since", token) as process:
        assert re.fullmatch(rf".* UTC  deleted     in {team}  {trace}.*", line_of(process))
        ended(process)
