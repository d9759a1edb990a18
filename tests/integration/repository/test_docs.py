"""Documents: commands run as they stand, links lead to files and headings, messages are those of the code."""

import ast
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from commontrace.v1 import trace_service_pb2
from tests.suite import SLOW_DIRECTORIES
from tests.support.checkout import Checkout, MadeServer
from tests.support.repository import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
# `make fresh` runs README.md, from nothing; `make examples` runs other-languages.md, which needs Go and Node.js.
RUN_HERE, RUN_ELSEWHERE = ["concepts.md", "namespaces.md", "operations.md"], ["README.md", "other-languages.md"]


@pytest.fixture
def place() -> Iterator[Path]:
    """With a short name: the socket of the database lies where the pages say."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def _text(name: str) -> str:
    return (REPOSITORY / "docs" / name).read_text()


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    outside_code = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", outside_code):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), target


@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_no_heading_is_followed_by_nothing(page: Path) -> None:
    """Neither the page nor a section at least as high ends what a heading has just begun."""
    outside_code = re.sub(r"^```.*?^```$", "code", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in outside_code.splitlines() if line.strip() and not line.startswith("<!--")]
    levels = [len(line) - len(line.lstrip("#")) if re.match("#+ ", line) else None for line in lines]
    for line, level, following in zip(lines, levels, [*levels[1:], 1], strict=True):
        assert level is None or following is None or following > level, line


def test_modules_are_named_by_their_paths_of_today() -> None:
    for page in (page for page in PAGES if page.name != "CHANGELOG.md"):
        for path in re.findall(r"`([\w.]+/(?:[\w-]+/)*\w+\.py)`", page.read_text()):
            places = (REPOSITORY / path, REPOSITORY / "src" / "commontrace" / path)
            assert "NNNN" in path or any(place.exists() for place in places), (page.name, path)


def test_requests_for_grpcurl_are_those_of_the_contract() -> None:
    page = (REPOSITORY / "README.md").read_text()
    called = re.findall(r"^\$ grpcurl -plaintext -d '(.+)' \S+ commontrace\.v1\.(\w+)/(\w+)$", page, flags=re.MULTILINE)
    assert called
    for request, service, method in called:
        descriptor = trace_service_pb2.DESCRIPTOR.services_by_name[service].methods_by_name[method]
        json_format.Parse(request, GetMessageClass(descriptor.input_type)())


def test_the_readme_is_read_in_two_minutes_and_its_picture_has_a_text() -> None:
    page = (REPOSITORY / "README.md").read_text()
    assert len(page.splitlines()) <= 200
    ((text, picture),) = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", page)
    assert len(text) > 100
    assert re.search(r"<desc .*>.{100,}</desc>", (REPOSITORY / picture).read_text())


def test_every_page_whose_commands_are_for_a_shell_is_run() -> None:
    with_commands = {page.name for page in PAGES if re.search(r"^```sh$", page.read_text(), flags=re.MULTILINE)}
    assert with_commands == {*RUN_HERE, *RUN_ELSEWHERE}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN_HERE)
def test_commands_run_as_they_stand(name: str, place: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", _text(name), flags=re.MULTILINE | re.DOTALL)
    assert blocks
    checkout = Checkout(place)
    with MadeServer(checkout) as server:
        # One shell, since later blocks use what earlier ones have set, and it knows nothing of the server but where it
        # is: that is the same for every reader, and not for every test.
        script = "set -e\n" + "".join(f"{block}echo '=='\n" for block in blocks)
        done = checkout.shell(script, {"COMMONTRACE_ADDRESS": server.address}, seconds=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    # A search that finds nothing ends with 0 as well.
    for block, output in zip(blocks, done.stdout.split("==\n"), strict=False):
        searches = re.findall(r"^commontrace search", block, flags=re.MULTILINE)
        hits = re.findall(r"^ *-?\d\.\d{3}  ", output, flags=re.MULTILINE)
        assert len(hits) >= len(searches), output


def test_the_glossary_links_each_term_to_its_module() -> None:
    rows = re.findall(
        r"^\| (.+) \| .+ \| (.+) \|$", _text("concepts.md").partition("## Glossary")[2], flags=re.MULTILINE
    )[2:]
    assert [term for term, _modules in rows] == sorted(term for term, _modules in rows)
    for _term, modules in rows:
        linked = re.findall(r"\[(\w+)\]\(\.\./(src/commontrace/\S+\.py)\)", modules)
        assert ", ".join(f"[{name}](../{path})" for name, path in linked) == modules
        assert all((REPOSITORY / path).is_file() and Path(path).stem == name for name, path in linked)


def test_the_messages_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(.+?)` \| ", _text("operations.md").partition("## Trouble")[2], flags=re.MULTILINE)
    assert len(rows) > 10
    said = "\n".join(_literals())
    for message in rows:
        for part in message.split("…"):
            assert part.strip() in said, message


def _literals() -> list[str]:
    """Every string in the code, what an f-string fills in left out."""
    trees = [ast.parse(path.read_text()) for path in (REPOSITORY / "src" / "commontrace").rglob("*.py")]
    found = []
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) for part in node.values if isinstance(part, ast.Constant)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def test_the_page_about_tests_names_every_directory_and_which_are_slow() -> None:
    rows = re.findall(r"^\| `tests/(\w+)` \| .* \| (.+) \|$", _text("testing.md"), flags=re.MULTILINE)
    tests = REPOSITORY / "tests"
    assert {name for name, _ in rows} == {path.relative_to(tests).parts[0] for path in tests.rglob("test_*.py")}
    assert {name for name, slow in rows if slow == "all"} == SLOW_DIRECTORIES


@pytest.mark.parametrize("page", sorted((REPOSITORY / "docs" / "adr").glob("0*.md")), ids=lambda page: page.stem)
def test_a_decision_has_a_status_a_date_and_what_would_change_it(page: Path) -> None:
    text = page.read_text()
    assert re.match(rf"# {page.stem[:4]}: .+\n\nStatus: accepted, 2\d{{3}}-\d\d-\d\d[.,;]", text)
    assert text.count("**What would change it") == 1
    assert f"[{page.stem[:4]}]({page.name})" in _text("adr/README.md")
