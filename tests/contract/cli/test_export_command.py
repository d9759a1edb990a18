"""`commontrace export`: files for another server."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.json_format import ParseDict

from commontrace.client.sync import connect
from commontrace.v1 import trace_record_pb2
from tests.contract.cli.command_line import ABSENT, Commands
from tests.contract.cli.test_trace_commands import a_trace
from tests.faults.server_process import environment


def lines_of(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def exported(commands: Commands, *arguments: str) -> list[dict[str, Any]]:
    """What an export writes to standard output, having said how much it is."""
    code, output, message = commands.run("export", *arguments)
    lines = lines_of(output)
    assert (code, message) == (0, f"exported {len(lines)} traces\n")
    return lines


def test_lines_are_records_as_protobuf_writes_them(commands: Commands, tmp_path: Path) -> None:
    words = json.dumps(
        {"title": "a\u2028b", "context": "Größe\n\tx", "solution": str(uuid4()), "metadata": {"b": 1, "a": [None]}}
    )
    trace = commands.contributed("-", "--tag", "C++", stdin=words)
    lines = exported(commands)
    with connect(commands.server.address) as client:
        records = list(client.export_traces())
    assert [ParseDict(line, trace_record_pb2.TraceRecord()) for line in lines] == records
    assert len(lines) >= 13
    [line] = [line for line in lines if line["id"] == trace["id"]]
    assert line == {
        "id": trace["id"],
        "title": "a\u2028b",
        "context": "Größe\n\tx",
        "solution": trace["solution"],
        "tags": ["cpp"],
        "metadata": {"a": [None], "b": 1.0},
        "create_time": trace["create_time"],
        "namespace": "commons",
    }
    with_vectors = exported(commands, "--embeddings")
    assert all(len(base64.b64decode(line.pop("embedding")["packed_f32"])) == 4 * 384 for line in with_vectors)
    assert with_vectors == lines
    # The same traces are the same bytes.
    for name in ("a.jsonl", "b.jsonl"):
        assert commands.run("export", str(tmp_path / name)) == (0, "", f"exported {len(lines)} traces\n")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert lines_of((tmp_path / "a.jsonl").read_text(encoding="utf-8")) == lines
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl"]


def test_filters_are_those_of_list_and_keep_what_others_replace(commands: Commands) -> None:
    ada = ("--as", f"ada-{uuid4()}@example.org")
    old = commands.contributed(*a_trace(tag="kettle"), *ada)
    new = commands.contributed(*a_trace(tag="kettle"), "--supersedes", old["id"], *ada)
    mine = exported(commands, "--by", "me", *ada)
    assert [line["id"] for line in mine] == [old["id"], new["id"]]
    assert mine[1]["supersedes_trace_id"] == old["id"]
    assert exported(commands, "--by", old["contributor_id"], "--tag", "Kettle") == mine
    assert exported(commands, "--any-tag", "kettle", "--status", "pending") == mine
    assert exported(commands, "--by", "me", *ada, "--without-tag", "kettle") == []
    assert exported(commands, "--until", "2001-01-01") == []
    assert len(exported(commands, "--status", "validated", "--since", "2001-01-01")) == 12
    assert exported(commands, "--by", ABSENT) == []


def test_a_file_is_replaced_when_the_export_is_complete(commands: Commands, tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    file.write_text("before")
    assert "filter.contributor_ids[0]" in commands.refusal("export", str(file), "--by", "nobody")
    assert (file.read_text(), list(tmp_path.iterdir())) == ("before", [file])
    link = tmp_path / "link.jsonl"
    link.symlink_to(file)
    commands.run("export", str(link))
    assert link.is_symlink()
    assert len(lines_of(file.read_text(encoding="utf-8"))) >= 12
    assert commands.run("export", "/dev/null")[0] == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("place", ["missing/traces.jsonl", "."])
def test_what_cannot_be_written_is_said(commands: Commands, tmp_path: Path, place: str) -> None:
    assert "cannot be written" in commands.refusal("export", str(tmp_path / place))


@pytest.mark.parametrize(
    ("number", "left"), [(signal.SIGKILL, 1), (signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGHUP, 0)]
)
def test_a_killed_export_leaves_no_file_that_looks_complete(
    commands: Commands, tmp_path: Path, number: signal.Signals, left: int
) -> None:
    # A server that takes the call and never answers.
    os.kill(commands.server.pid, signal.SIGSTOP)
    try:
        command = [sys.executable, "-m", "commontrace", "export", str(tmp_path / "traces.jsonl")]
        variables = environment(tmp_path, COMMONTRACE_ADDRESS=commands.server.address)
        process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE)
        until = time.monotonic() + 30
        while not list(tmp_path.iterdir()):
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate(timeout=30)
    finally:
        os.kill(commands.server.pid, signal.SIGCONT)
    assert process.returncode == (130 if number is signal.SIGINT else -number)
    parts = list(tmp_path.iterdir())
    assert len(parts) == left
    assert all(path.name.startswith(".") and path.name.endswith(".part") for path in parts)


def test_a_terminal_sees_progress_only_beside_a_file(commands: Commands, tmp_path: Path) -> None:
    shown = commands.on_terminal("export", str(tmp_path / "traces.jsonl"))
    assert "exporting" in shown
    assert shown.rstrip().endswith(" traces")
    assert "exporting" not in commands.on_terminal("export")
