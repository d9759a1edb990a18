"""Excerpts of examples/ in the documents match the programs."""

import re
from textwrap import dedent

import pytest

from tests.support.repository import REPOSITORY

PROGRAMS = {"go": REPOSITORY / "examples/go/main.go", "ts": REPOSITORY / "examples/typescript/main.ts"}
DOCUMENTS = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
EXCERPTS = [
    pytest.param(language, excerpt, id=f"{document.name}-{excerpt.partition(chr(10))[0]}")
    for document in DOCUMENTS
    for language, excerpt in re.findall(r"^```(go|ts)\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
]


def is_in(program: str, excerpt: str) -> bool:
    """Whether the program has these lines in a row, indented as a whole or not."""
    lines, length = program.splitlines(), len(excerpt.splitlines())
    runs = ("\n".join(lines[start : start + length]) for start in range(len(lines) - length + 1))
    return any(dedent(run) == dedent(excerpt).rstrip("\n") for run in runs)


@pytest.mark.parametrize(("language", "excerpt"), EXCERPTS)
def test_an_excerpt_is_part_of_its_program(language: str, excerpt: str) -> None:
    assert is_in(PROGRAMS[language].read_text(), excerpt)


def test_both_programs_are_shown() -> None:
    assert {str(excerpt.values[0]) for excerpt in EXCERPTS} == PROGRAMS.keys()


def test_another_indentation_inside_or_another_word_is_noticed() -> None:
    program = "if a:\n    if b:\n        c\n"
    assert is_in(program, "if b:\n    c\n")
    assert not is_in(program, "if b:\n        c\n")
    assert not is_in(program, "if b:\n    d\n")
