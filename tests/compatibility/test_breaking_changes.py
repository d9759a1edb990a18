"""`make check` compares the protos with those of 0.1.0; here they are changed, in ways that break clients or do not."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compatibility.baseline_contract import DESCRIPTORS
from tests.support.repository import REPOSITORY

BUF = Path(sys.executable).with_name("buf")
CHECK = ["buf", "breaking", "--exclude-imports", "--against", "tests/compatibility/0.1.0.binpb"]


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    """The protos to change, beside the configuration that they are checked with."""
    shutil.copy(REPOSITORY / "buf.yaml", tmp_path)
    return Path(shutil.copytree(REPOSITORY / "protos/commontrace/v1", tmp_path / "protos/commontrace/v1"))


def breaking(protos: Path) -> subprocess.CompletedProcess[str]:
    """What `make check` runs, on the changed protos."""
    command = [str(BUF), *CHECK[1:-1], str(DESCRIPTORS)]
    return subprocess.run(command, cwd=protos.parents[2], capture_output=True, text=True, check=False)


def edit(file: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, file.read_text(), flags=re.MULTILINE)
    assert count == 1, f"{pattern} is {count} times in {file.name}"
    file.write_text(text)


@dataclass(frozen=True, kw_only=True)
class Change:
    """An edit of one file, by a pattern, and what is said of it."""

    file: str
    pattern: str
    replacement: str
    said: str


BREAKING = {
    "field renumbered": Change(
        file="vector.proto",
        pattern=r"string model_id = 3;",
        replacement="string model_id = 4;",
        said='Previously present field "3" with name "model_id" on message "Vector" was deleted.',
    ),
    "field removed": Change(
        file="trace.proto",
        pattern=r"^  string hide_reason = 23;\n",
        replacement="",
        said='Previously present field "23" with name "hide_reason" on message "Trace" was deleted.',
    ),
    "field renamed": Change(
        file="trace.proto",
        pattern=r"string etag = 18;",
        replacement="string tag_of_state = 18;",
        said='Field "18" with name "tag_of_state" on message "Trace" changed option "json_name" from "etag"',
    ),
    "type of a field changed": Change(
        file="trace_import.proto",
        pattern=r"int64 last_sequence = 2;",
        replacement="string last_sequence = 2;",
        said='Field "2" with name "last_sequence" on message "ImportTracesResponse" changed type from "int64"',
    ),
    "RPC removed": Change(
        file="vote_service.proto",
        pattern=r"^  rpc GetVote(.|\n)*?\n  }\n",
        replacement="",
        said='Previously present RPC "GetVote" on service "VoteService" was deleted.',
    ),
    "answer streamed": Change(
        file="tag_service.proto",
        pattern=r"returns \(ListTagsResponse\)",
        replacement="returns (stream ListTagsResponse)",
        said='RPC "ListTags" on service "TagService" changed from server unary to server streaming.',
    ),
    "enum value renamed": Change(
        file="vote.proto",
        pattern=r"DOWN_REASON_SPAM",
        replacement="DOWN_REASON_OFF_TOPIC",
        said='Enum value "5" on enum "DownReason" changed name from "DOWN_REASON_SPAM" to "DOWN_REASON_OFF_TOPIC".',
    ),
    "enum value removed": Change(
        file="error_reason.proto",
        pattern=r"^  ERROR_REASON_ANSWER_ERASED = 43;\n",
        replacement="",
        said='Previously present enum value "43" on enum "ErrorReason" was deleted.',
    ),
    "package of Java changed": Change(
        file="tag.proto",
        pattern=r'"dev.commontrace.v1"',
        replacement='"org.commontrace.v1"',
        said='File option "java_package" changed from "dev.commontrace.v1" to "org.commontrace.v1".',
    ),
    "package of Go changed": Change(
        file="tag.proto",
        pattern=r";commontracev1",
        replacement=";pb",
        said='File option "go_package" changed from',
    ),
}

ADDITIONS = [
    ("vector.proto", r"string model_id = 3;", "string model_id = 3;\n  // New.\n  string origin = 4;"),
    ("vote.proto", r"DOWN_REASON_SPAM = 5;", "DOWN_REASON_SPAM = 5;\n  // New.\n  DOWN_REASON_OTHER = 6;"),
    (
        "tag_service.proto",
        r"^service TagService {",
        "service TagService {\n  // New.\n  rpc ForgetTag(ForgetTagRequest) returns (ForgetTagResponse);\n",
    ),
    ("tag_service.proto", r"\Z", "\n// New.\nmessage ForgetTagRequest {}\n\n// New.\nmessage ForgetTagResponse {}\n"),
]


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING)
def test_a_change_that_breaks_clients_is_refused_by_name(change: Change, protos: Path) -> None:
    edit(protos / change.file, change.pattern, change.replacement)
    ended = breaking(protos)
    assert ended.returncode != 0
    assert f"protos/commontrace/v1/{change.file}" in ended.stdout
    assert change.said in ended.stdout


def test_a_file_that_is_removed_is_refused_by_name(protos: Path) -> None:
    (protos / "vote_service.proto").unlink()
    ended = breaking(protos)
    assert ended.returncode != 0
    assert 'Previously present file "commontrace/v1/vote_service.proto" was deleted.' in ended.stdout


def test_additions_pass(protos: Path) -> None:
    for file, pattern, replacement in ADDITIONS:
        edit(protos / file, pattern, replacement)
    shutil.copy(protos / "options.proto", protos / "new.proto")
    edit(protos / "new.proto", r"(?s)^import.*", "// New.\nmessage New {}\n")
    ended = breaking(protos)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_make_check_compares_with_the_baseline() -> None:
    assert f"\t$(BIN)/{' '.join(CHECK)}\n" in (REPOSITORY / "Makefile").read_text()
