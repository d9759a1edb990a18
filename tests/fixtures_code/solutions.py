"""Takes the sample traces and their code out of the fixture: what runs here is what a reader copies."""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.support.repository import REPOSITORY

FIXTURE = REPOSITORY / "fixtures" / "sample_traces.json"
_FENCE = re.compile(r"^```(?P<language>\S*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Block:
    """The `number`-th fenced block in `language` of one solution, counted from 0."""

    slug: str
    language: str
    number: int
    code: str

    def altered(self, old: str, new: str) -> str:
        """The code with every `old` replaced: shows what happens without the cure."""
        assert old in self.code, f"{self.slug} does not contain {old!r}"
        return self.code.replace(old, new)


@cache
def read_traces() -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = json.loads(FIXTURE.read_text(encoding="utf-8"))
    return traces


def read_trace(slug: str) -> dict[str, Any]:
    return next(trace for trace in read_traces() if trace["slug"] == slug)


def fenced(markdown: str) -> list[tuple[str, str]]:
    """The (language, code) of each fenced block, in order."""
    return [(match["language"], match["code"]) for match in _FENCE.finditer(markdown)]


def blocks(slug: str) -> list[Block]:
    found: list[Block] = []
    for language, code in fenced(read_trace(slug)["solution"]):
        number = sum(block.language == language for block in found)
        found.append(Block(slug=slug, language=language, number=number, code=code))
    return found


def block(slug: str, language: str, number: int = 0) -> Block:
    return next(block for block in blocks(slug) if (block.language, block.number) == (language, number))
