"""docs/api.md, generated from the contract's comments: no markup in a comment changes the page."""

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.support.repository import REPOSITORY

PAGE = (REPOSITORY / "docs" / "api.md").read_text()

CONTRACT = """\
syntax = "proto3";

package commontrace.v1;

import "commontrace/v1/options.proto";

// Takes a < b > c, *stars*, _lines_, snake_case, [brackets](#x) and \\ for what they are.
//
// A second
// paragraph.
service OddService {
  // Streams `a|b` or a | b both ways.
  rpc TalkOddly(stream TalkOddlyRequest) returns (stream TalkOddlyResponse) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (required_scope) = SCOPE_TRACES_READ;
  }
}

// Asks.
message TalkOddlyRequest {
  // Either `x|y` or
  // x | y.
  //
  // Never <both>.
  oneof choice {
    // The __left__ one.
    string left = 1;
    // The right one.
    TalkOddlyResponse right = 7;
  }
  // May be missing.
  optional int32 maybe = 3;
  // Several.
  repeated TalkOddlyResponse several = 4;
}

// Answers.
message TalkOddlyResponse {}
"""


def _write(place: Path, contract: str, *flags: str) -> subprocess.CompletedProcess[str]:
    protos = place / "protos" / "commontrace" / "v1"
    protos.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "protos" / "commontrace" / "v1" / "options.proto", protos)
    (protos / "odd_service.proto").write_text(contract)
    script = [sys.executable, str(REPOSITORY / ".ci" / "api_reference.py"), *flags, "api.md"]
    return subprocess.run(script, cwd=place, capture_output=True, text=True, check=False)


def _rendered(markdown: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(markdown))


def _words(fragment: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", fragment.replace("<br>", " ")))


@pytest.fixture
def page(tmp_path: Path) -> str:
    written = _write(tmp_path, CONTRACT)
    assert written.returncode == 0, written.stderr
    return _rendered((tmp_path / "api.md").read_text())


def test_comments_come_out_as_they_were_written(page: str) -> None:
    paragraphs = [_words(found) for found in re.findall(r"<p>(.*?)</p>", page, flags=re.DOTALL)]
    assert "Takes a < b > c, *stars*, _lines_, snake_case, [brackets](#x) and \\ for what they are." in paragraphs
    assert "A second paragraph." in paragraphs
    assert "Streams a|b or a | b both ways." in paragraphs
    assert "<code>a|b</code>" in page


def test_fields_come_out_one_a_row(page: str) -> None:
    table = page[page.index("Asks.") : page.index("Answers.")]
    rows = [[_words(cell) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in table.split("<tr>")[2:]]
    assert rows == [
        ["choice", "one of", "", "Either x|y or x | y.  Never <both>."],
        ["- left", "string", "1", "The __left__ one."],
        ["- right", "TalkOddlyResponse", "7", "The right one."],
        ["maybe", "optional int32", "3", "May be missing."],
        ["several", "repeated TalkOddlyResponse", "4", "Several."],
    ]


def test_an_rpc_says_what_it_streams_and_needs(page: str) -> None:
    assert "stream of TalkOddlyRequest → stream of TalkOddlyResponse" in _words(page)
    assert "changes nothing; needs SCOPE_TRACES_READ" in _words(page)
    assert "No fields." in _words(page)


def test_the_table_of_a_service_has_scope_and_first_sentence_of_each_rpc(page: str) -> None:
    table = page[page.index("<th>RPC</th>") : page.index("</table>")]
    cells = [_words(cell) for cell in re.findall(r"<td>(.*?)</td>", table)]
    assert cells == ["TalkOddly", "SCOPE_TRACES_READ", "Streams a|b or a | b both ways."]


def test_a_page_that_is_not_up_to_date_is_noticed(tmp_path: Path) -> None:
    assert "make generate" in _write(tmp_path, CONTRACT, "--check").stderr
    assert _write(tmp_path, CONTRACT).returncode == 0
    assert _write(tmp_path, CONTRACT, "--check").returncode == 0
    assert _write(tmp_path, CONTRACT.replace("Several", "Many"), "--check").returncode == 1
    assert "Several" in (tmp_path / "api.md").read_text()


def test_types_that_it_cannot_write_are_refused(tmp_path: Path) -> None:
    nested = CONTRACT.replace("TalkOddlyResponse {}", "TalkOddlyResponse { enum Inside { INSIDE_UNSPECIFIED = 0; } }")
    refused = _write(tmp_path, nested)
    assert (refused.returncode, "TalkOddlyResponse" in refused.stderr) == (1, True)
    assert not (tmp_path / "api.md").exists()


def test_every_row_of_the_page_fills_its_table() -> None:
    columns = 0
    for line in PAGE.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1 if line.startswith("|") else 0
        assert columns in (0, cells) or cells == 0, line
        columns = cells
    assert _rendered(PAGE).count("<table>") > 40
