import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.contract.command_line import ABSENT, Commands


def a_line(**changes: Any) -> dict[str, Any]:
    """A trace that is like no other."""
    return {"title": f"Title {uuid4()}", "context": "A problem", "solution": "A cure", "tags": ["imported"]} | changes


def a_file(place: Path, *lines: Any) -> str:
    """The path of a file of these lines, objects as JSON."""
    path = place / f"{uuid4()}.jsonl"
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts))
    return str(path)


def test_a_file_is_imported_once(commands: Commands, tmp_path: Path) -> None:
    file = a_file(tmp_path, a_line(), "", a_line(id=ABSENT, agent_model="m", metadata={"a": [1, None]}), a_line())
    summary = "imported 3 traces (0 were there already, 0 failed)\n"
    assert commands.output("import", file, "--as", "ada@example.org") == summary
    assert commands.output("import", file, "--as", "ada@example.org") == summary
    assert commands.output("import", file, "--as", "ada@example.org", "--again") == summary
    assert json.loads(commands.output("get", ABSENT, "--json"))["metadata"] == {"a": [1, None]}
    others = commands.output("import", file, "--as", "grace@example.org")
    assert others == "imported 0 traces (3 were there already, 0 failed)\n"


def test_what_contribute_takes_is_imported(commands: Commands, tmp_path: Path) -> None:
    fields = a_line(agent_model="m", agent_version="1", metadata={"k": "v"})
    trace = commands.contributed("-", stdin=json.dumps(fields))
    assert commands.output("import", a_file(tmp_path, fields)).startswith("imported 0 traces (1 were there")
    assert trace["title"] == fields["title"]


def test_lines_that_hold_no_trace_are_told_and_the_rest_goes_on(commands: Commands, tmp_path: Path) -> None:
    lines: list[Any] = [
        a_line(),
        '{"title": ',
        [1],
        a_line(contxt="a"),
        a_line(tags="imported"),
        a_line(title="A bad tag", tags=["?"]),
        a_line(title="Two\nlines", solution=""),
        '{"title": "\\ud800"}',
        "[" * 100_000,
        a_line(on_duplicate="ON_DUPLICATE_ALLOW"),
    ]
    file = a_file(tmp_path, *lines)
    Path(file).write_bytes(Path(file).read_bytes() + b'{"title": "\xff"}')
    code, output, message = commands.run("import", file)
    assert (code, output) == (1, "imported 2 traces (0 were there already, 9 failed)\n")
    told = dict(sorted((int(line.split()[1].rstrip(":")), line) for line in message.splitlines()))
    assert told[2] == "line 2 is not JSON: Expecting value at character 12"
    assert told[3] == "line 3 must hold one JSON object"
    assert told[4].startswith("line 4 has the unknown field 'contxt'; a trace has id, title, context,")
    assert told[5].startswith("line 5 holds no trace: ")
    assert "tags" in told[5]
    assert told[6].startswith("line 6: A bad tag: INVALID_TAG: tags[0] '?' ")
    assert told[7] == "line 7: Two lines: FIELD_REQUIRED: solution is required"
    assert told[8].startswith("line 8 holds no trace: ")
    assert told[9] == "line 9 is nested too deep"
    assert told[11] == "line 11 is not UTF-8 text"
    assert list(told) == [2, 3, 4, 5, 6, 7, 8, 9, 11]
    code, output, message = commands.run("import", file)
    assert (code, output) == (1, "imported 2 traces (0 were there already, 9 failed)\n")
    assert "8 of them failed in an earlier run: --again tells why" in message
    code, output, again = commands.run("import", file, "--again")
    assert (code, output) == (1, "imported 2 traces (0 were there already, 9 failed)\n")
    assert len(again.splitlines()) == 9


def test_results_as_json(commands: Commands, tmp_path: Path) -> None:
    same = a_line()
    file = a_file(tmp_path, same, same, a_line(title=""), "{", a_line())
    code, output, message = commands.run("import", file, "--json")
    results = {result["line"]: result for result in map(json.loads, output.splitlines())}
    assert code == 1
    assert [results[line]["outcome"] for line in range(1, 6)] == ["created", "existing", "failed", "failed", "created"]
    assert results[2]["trace_id"] == results[1]["trace_id"]
    assert (results[3]["reason"], results[4]["reason"]) == ("FIELD_REQUIRED", "")
    assert message.splitlines()[-1] == "imported 2 traces (1 were there already, 2 failed)"


def test_what_becomes_of_duplicates_can_be_chosen(commands: Commands, tmp_path: Path) -> None:
    file = a_file(tmp_path, a_line(on_duplicate="ON_DUPLICATE_REJECT"), a_line())
    assert commands.output("import", file) == "imported 2 traces (0 were there already, 0 failed)\n"
    existing = commands.output("import", file, "--on-duplicate", "return_existing")
    assert existing == "imported 0 traces (2 were there already, 0 failed)\n"
    code, output, message = commands.run("import", file, "--on-duplicate", "reject")
    assert (code, output) == (1, "imported 0 traces (0 were there already, 2 failed)\n")
    assert message.count("DUPLICATE_TRACE") == 2
    allowed = commands.output("import", file, "--on-duplicate", "allow")
    assert allowed == "imported 2 traces (0 were there already, 0 failed)\n"


def test_standard_input_can_be_gone_on_with_by_its_id(commands: Commands) -> None:
    lines = [json.dumps(a_line()) for _ in range(3)]
    import_id = str(uuid4())
    first = commands.output("import", "-", "--import-id", import_id, stdin="\n".join(lines[:2]))
    assert first == "imported 2 traces (0 were there already, 0 failed)\n"
    second = commands.output("import", "-", "--import-id", import_id, stdin="\n".join(lines))
    assert second == "imported 3 traces (0 were there already, 0 failed)\n"
    assert commands.output("import", "-") == "imported 0 traces (0 were there already, 0 failed)\n"


def test_commands_that_are_given_wrong(commands: Commands, tmp_path: Path) -> None:
    file = a_file(tmp_path, a_line())
    assert "cannot be read" in commands.refusal("import", str(tmp_path / "missing.jsonl"))
    assert "--import-id must be a UUID, not 'mine'" in commands.refusal("import", file, "--import-id", "mine")
    refusal = commands.refusal("import", file, "--address", "127.0.0.1:1")
    assert refusal.startswith("commontrace: no server answers on 127.0.0.1:1")


def test_progress_is_for_terminals(commands: Commands, tmp_path: Path) -> None:
    screen = commands.on_terminal("import", a_file(tmp_path, *(a_line() for _ in range(50))))
    assert "importing" in screen
    assert "imported 50 traces (0 were there already, 0 failed)" in screen
