import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from commontrace.cli.imports import imported_traces as imported
from tests.contract.cli.command_line import ABSENT, Commands
from tests.faults.server_process import ServerProcess


def a_line(**changes: Any) -> dict[str, Any]:
    """Returns a trace unlike all others."""
    return {"title": f"Title {uuid4()}", "context": "A problem", "solution": "A cure", "tags": ["imported"]} | changes


def a_file(place: Path, *lines: Any) -> str:
    """Writes a file of lines, objects as JSON, and returns its path."""
    path = place / f"{uuid4()}.jsonl"
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("".join(f"{text}\n" for text in texts))
    return str(path)


def test_a_file_is_imported_once(commands: Commands, tmp_path: Path) -> None:
    file = a_file(tmp_path, a_line(), "", a_line(id=ABSENT, agent_model="m", metadata={"a": [1, None]}), a_line())
    assert commands.output("import", file, "--as", "ada@example.org", "--wait") == (
        "imported 3 traces (0 were there already, 0 failed)\n"
    )
    before = "imported 0 traces (3 in an earlier run, 0 were there already, 0 failed)\n"
    code, output, message = commands.run("import", file, "--as", "ada@example.org")
    assert (code, output) == (0, before)
    assert message == "what of an earlier run was deleted since stays deleted: --again tells which\n"
    assert commands.output("import", file, "--as", "ada@example.org", "--again") == before
    assert json.loads(commands.output("get", ABSENT, "--json"))["metadata"] == {"a": [1, None]}
    others = commands.output("import", file, "--as", "grace@example.org")
    assert others == "imported 0 traces (3 were there already, 0 failed)\n"


@pytest.mark.parametrize("with_ids", [False, True])
def test_what_was_deleted_since_is_not_said_to_be_imported(
    commands: Commands, tmp_path: Path, *, with_ids: bool
) -> None:
    fields = [a_line(**({"id": str(uuid4())} if with_ids else {})) for _ in range(3)]
    file = a_file(tmp_path, *fields)
    _, lines, _ = commands.run("import", file, "--wait", "--json", "--as", "ada@example.org")
    gone = json.loads(lines.splitlines()[1])["trace_id"]
    commands.output("delete", gone, "--as", "ada@example.org")
    code, output, message = commands.run("import", file, "--as", "ada@example.org")
    assert (code, output) == (0, "imported 0 traces (3 in an earlier run, 0 were there already, 0 failed)\n")
    assert "stays deleted" in message
    code, output, message = commands.run("import", file, "--again", "--as", "ada@example.org")
    assert (code, output) == (0, "imported 0 traces (3 in an earlier run, 0 were there already, 0 failed)\n")
    assert message == f"line 2: its trace {gone} is gone: if you deleted it, `commontrace undelete` brings it back\n"
    # As another import it is new, unless its id is taken by what was deleted.
    code, output, message = commands.run("import", file, "--import-id", str(uuid4()), "--as", "ada@example.org")
    assert (
        output == f"imported {'0 traces' if with_ids else '1 trace'} (2 were there already, {int(with_ids)} failed)\n"
    )
    assert ("or a deleted one, has the id" in message) is with_ids


def test_how_many_traces_cannot_be_found_yet_is_told(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imported, "STALL_SECONDS", 0.1)
    waiting = "3 of them wait for their vectors: no search finds them yet (--wait waits)"
    file = a_file(tmp_path, *(a_line() for _ in range(3)))
    with ServerProcess(tmp_path, DATABASE_URL=database_url, ENCODING_WORKER="false") as server:
        commands = Commands(server, tmp_path, database_url)
        code, output, message = commands.run("import", file)
        assert (code, output) == (0, "imported 3 traces (0 were there already, 0 failed)\n")
        assert message == f"{waiting}\n"
        code, output, message = commands.run("import", file, "--wait")
        assert (code, output) == (5, "imported 0 traces (3 in an earlier run, 0 were there already, 0 failed)\n")
        assert message.splitlines() == [
            waiting,
            "commontrace: none of them got its vector for a minute: `commontrace doctor` says why",
        ]
    monkeypatch.undo()
    with ServerProcess(tmp_path, DATABASE_URL=database_url) as server:
        commands = Commands(server, tmp_path, database_url)
        assert commands.output("import", file, "--wait").startswith("imported 0 traces (3 in an earlier run")
        listed = map(json.loads, commands.output("list", "--tag", "imported", "-n", "3", "--json").splitlines())
        assert {trace["embedding_state"] for trace in listed} == {"EMBEDDING_STATE_READY"}


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
    code, output, message = commands.run("import", file, "--wait")
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
    assert (code, output) == (1, "imported 0 traces (2 in an earlier run, 0 were there already, 9 failed)\n")
    assert "8 of them failed in an earlier run: --again tells why" in message
    code, output, again = commands.run("import", file, "--again")
    assert (code, output) == (1, "imported 0 traces (2 in an earlier run, 0 were there already, 9 failed)\n")
    assert len(again.splitlines()) == 9


def test_results_as_json(commands: Commands, tmp_path: Path) -> None:
    same = a_line()
    file = a_file(tmp_path, same, same, a_line(title=""), "{", a_line())
    code, output, message = commands.run("import", file, "--json", "--wait")
    results = {result["line"]: result for result in map(json.loads, output.splitlines())}
    assert code == 1
    assert [results[line]["outcome"] for line in range(1, 6)] == ["created", "existing", "failed", "failed", "created"]
    assert results[2]["trace_id"] == results[1]["trace_id"]
    assert (results[3]["reason"], results[4]["reason"]) == ("FIELD_REQUIRED", "")
    assert message.splitlines()[-1] == "imported 2 traces (1 were there already, 2 failed)"


def test_a_trace_that_replaces_nothing_says_why(commands: Commands, tmp_path: Path) -> None:
    trace = commands.contributed("-", "--as", "grace@example.org", stdin=json.dumps(a_line()))
    file = a_file(tmp_path, a_line(title="A better cure", supersedes_trace_id=trace["id"]))
    code, output, message = commands.run("import", file, "--as", "ada@example.org", "--json")
    assert (code, json.loads(output)["outcome"]) == (0, "created")
    assert json.loads(output)["supersedes_error"].startswith("NOT_OWNER: ")
    told = f"line 1: A better cure: imported, and replaces nothing: NOT_OWNER: {trace['id']} belongs to somebody else"
    assert told in message.splitlines()


def test_what_becomes_of_duplicates_can_be_chosen(commands: Commands, tmp_path: Path) -> None:
    file = a_file(tmp_path, a_line(on_duplicate="ON_DUPLICATE_REJECT"), a_line())
    assert commands.output("import", file, "--wait") == "imported 2 traces (0 were there already, 0 failed)\n"
    existing = commands.output("import", file, "--on-duplicate", "return_existing")
    assert existing == "imported 0 traces (2 were there already, 0 failed)\n"
    code, output, message = commands.run("import", file, "--on-duplicate", "reject")
    assert (code, output) == (1, "imported 0 traces (0 were there already, 2 failed)\n")
    assert message.count("DUPLICATE_TRACE") == 2
    allowed = commands.output("import", file, "--on-duplicate", "allow", "--wait")
    assert allowed == "imported 2 traces (0 were there already, 0 failed)\n"


def test_standard_input_can_be_gone_on_with_by_its_id(commands: Commands) -> None:
    lines = [json.dumps(a_line()) for _ in range(3)]
    import_id = str(uuid4())
    first = commands.output("import", "-", "--import-id", import_id, "--wait", stdin="\n".join(lines[:2]))
    assert first == "imported 2 traces (0 were there already, 0 failed)\n"
    second = commands.output("import", "-", "--import-id", import_id, "--wait", stdin="\n".join(lines))
    assert second == "imported 1 trace (2 in an earlier run, 0 were there already, 0 failed)\n"
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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"metadata": {"n": ' + "9" * 400 + "}}", "holds a number of 400 digits; the largest has 309"),
        ('{"metadata": {"n": -' + "9" * 5_000 + "}}", "holds a number of 5000 digits; the largest has 309"),
        ('{"title": ' + "9" * 5_000 + "}", "holds a number of 5000 digits; the largest has 309"),
        ('{"metadata": {"n": [1e400]}}', ": INVALID_METADATA: "),
        ('{"metadata": {"n": NaN}}', "metadata"),
        ('{"on_duplicate": "\\ud800"}', "on_duplicate has half of a surrogate pair, which is no character"),
        ('{"metadata": {"\\udfff": 1}}', "metadata has half of a surrogate pair"),
        ('{"create_time": "0000-01-01T00:00:00Z"}', "holds no trace: "),
        ("nul", "is not JSON"),
        ("\x00", "is not JSON"),
    ],
)
def test_a_line_that_cannot_be_read_keeps_no_other_from_being_imported(
    commands: Commands, tmp_path: Path, line: str, said: str
) -> None:
    if line.startswith('{"metadata'):
        line = json.dumps(a_line())[:-1] + f", {line[1:]}"
    code, output, message = commands.run("import", a_file(tmp_path, a_line(), line, a_line()), "--wait")
    assert (code, output) == (1, "imported 2 traces (0 were there already, 1 failed)\n")
    [told] = message.splitlines()
    assert told.startswith("line 2")
    assert said in told


def test_however_deep_a_line_is_nested_the_others_are_imported(commands: Commands, tmp_path: Path) -> None:
    nested = [json.dumps(a_line())[:-1] + ', "metadata": {"n": ' + "[" * n + "]" * n + "}}" for n in range(15, 75)]
    code, output, message = commands.run("import", a_file(tmp_path, a_line(), *nested, a_line()), "--wait")
    assert (code, output) == (1, "imported 3 traces (0 were there already, 59 failed)\n")
    assert len(message.splitlines()) == 59
    assert all("too deep" in line or "FIELD_TOO_LONG: metadata has " in line for line in message.splitlines())


def test_a_byte_order_mark_is_no_part_of_a_file(commands: Commands, tmp_path: Path) -> None:
    fields = a_line()
    file = Path(a_file(tmp_path, fields))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert commands.contributed(str(file))["title"] == fields["title"]
    assert commands.output("import", str(file)).startswith("imported 0 traces (1 were there already, 0 failed)")
    (tmp_path / "text.md").write_bytes(b"\xef\xbb\xbfMarked")
    code, output, message = commands.run(
        "contribute", "--json", "--title", str(uuid4()), "--context", f"@{tmp_path}/text.md", "--solution", "s"
    )
    assert (code, json.loads(output)["context"]) == (0, "Marked")
    assert message == f"context: read from {tmp_path}/text.md, 6 characters\n"
