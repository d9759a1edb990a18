"""The fixture as data: twelve traces, in order, within the limits, with no code block that nothing checks."""

import importlib
import json
import pkgutil
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from tests.fixtures_code.solutions import FIXTURE, Block, blocks, fenced, read_traces

# The first word of each topic's slug says which topic it is.
TOPICS = [
    "fastapi-async-sqlalchemy",
    "docker-compose-postgres-healthcheck",
    "fastapi-cors",
    "pgvector-hnsw-cosine",
    "alembic-async",
    "redis-cache",
    "fastapi-jwt",
    "pydantic-v2-validators",
    "github-actions-uv",
    "asyncio",
    "react-typescript-fetch",
    "postgresql-partial-covering-index",
]
FIELDS = ["slug", "title", "context", "solution", "tags", "agent_model", "agent_version", "metadata"]
SLUGS = [trace["slug"] for trace in read_traces()]
# Verified by hand where no Python distribution says the version; the first two also by test_sql_solutions.
NOT_DISTRIBUTIONS = {"postgresql", "pgvector", "python", "react", "typescript"}


def test_the_twelve_topics_stand_in_order() -> None:
    assert len(SLUGS) == len(TOPICS) == 12
    for slug, topic in zip(SLUGS, TOPICS, strict=True):
        assert slug.startswith(topic)


def test_slugs_and_titles_are_unique() -> None:
    assert len(set(SLUGS)) == 12
    assert len({trace["title"] for trace in read_traces()}) == 12
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) for slug in SLUGS)


@pytest.mark.parametrize("trace", read_traces(), ids=SLUGS)
def test_fields_keep_the_contracts_limits(trace: dict[str, object]) -> None:
    assert list(trace) == FIELDS
    title, context, solution = str(trace["title"]), str(trace["context"]), str(trace["solution"])
    assert 1 <= len(title) <= 200
    assert 600 <= len(context) <= 1_800
    assert 1_000 <= len(solution) <= 3_500
    for text in (title, context, solution):
        assert text == text.strip()
        assert all(character.isprintable() or character == "\n" for character in text)
    assert 1 <= len(str(trace["agent_model"])) <= 100
    assert 1 <= len(str(trace["agent_version"])) <= 50
    assert len(json.dumps(trace["metadata"])) <= 10_000


@pytest.mark.parametrize("trace", read_traces(), ids=SLUGS)
def test_tags_are_already_normalised(trace: dict[str, list[str]]) -> None:
    assert 3 <= len(trace["tags"]) <= 6
    assert len(set(trace["tags"])) == len(trace["tags"])
    for tag in trace["tags"]:
        assert re.fullmatch(r"(?=.*[a-z0-9])[a-z0-9._-]{1,50}", tag)


@pytest.mark.parametrize("trace", read_traces(), ids=SLUGS)
def test_every_fence_is_closed_and_names_its_language(trace: dict[str, str]) -> None:
    for part in ("context", "solution"):
        fences = [line for line in trace[part].splitlines() if line.startswith("```")]
        assert len(fences) == 2 * len(fenced(trace[part]))
        assert all(language for language, _code in fenced(trace[part]))
    assert {language for language, _code in fenced(trace["context"])} <= {"text"}
    assert any(language != "text" for language, _code in fenced(trace["solution"]))


def test_every_block_of_every_solution_is_taken_by_a_test() -> None:
    assert __package__ is not None
    directory = str(Path(__file__).parent)
    modules = [
        importlib.import_module(f"{__package__}.{module.name}")
        for module in pkgutil.iter_modules([directory])
        if module.name.startswith("test_")
    ]
    taken = {value for module in modules for value in vars(module).values() if isinstance(value, Block)}
    assert taken == {block for slug in SLUGS for block in blocks(slug)}


@pytest.mark.parametrize("trace", read_traces(), ids=SLUGS)
def test_versions_named_are_not_newer_than_the_ones_these_tests_ran_with(trace: dict[str, dict[str, object]]) -> None:
    stated = trace["metadata"]["verified_with"]
    assert isinstance(stated, dict)
    assert stated
    for name, value in stated.items():
        if name not in NOT_DISTRIBUTIONS:
            assert Version(value) <= Version(version(name)), name
        elif name == "python":
            assert Version(value) <= Version(".".join(map(str, sys.version_info[:3])))


def test_no_address_points_at_a_real_host() -> None:
    for host in re.findall(r"\w://([^/\s\"'`:,)]*)", json.dumps(read_traces(), ensure_ascii=False)):
        assert re.search(r"^(|\.\.\.|localhost|127\.0\.0\.1|.*\bexample(\.com)?)$", host.replace("\\", "")), host


def test_the_file_is_pretty_printed_and_ends_with_a_newline() -> None:
    text = FIXTURE.read_text(encoding="utf-8")
    assert text == json.dumps(read_traces(), indent=2, ensure_ascii=False) + "\n"
