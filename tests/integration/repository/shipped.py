"""Shipped files besides the code: the Dockerfile, read as far as the tests need it, and the commands there are."""

import json
import subprocess
import sys
from typing import NamedTuple

from tests.support.repository import REPOSITORY


class Instruction(NamedTuple):
    """One instruction of the build stage (0) or of the image itself (1)."""

    stage: int
    keyword: str
    argument: str


def instructions() -> list[Instruction]:
    """Every instruction in order, continued lines joined."""
    lines = (REPOSITORY / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    found: list[Instruction] = []
    stage = -1
    for line in filter(None, text.splitlines()):
        keyword, _, argument = line.partition(" ")
        stage += keyword == "FROM"
        found.append(Instruction(stage, keyword, " ".join(argument.split())))
    return found


def said(keyword: str, *, stage: int = 1) -> list[str]:
    """What the instructions of this name say, in order."""
    return [found.argument for found in instructions() if (found.stage, found.keyword) == (stage, keyword)]


def words(keyword: str) -> list[str]:
    """The words of an instruction that the image holds once, in the form that needs no shell."""
    [argument] = said(keyword)
    return [str(word) for word in json.loads(argument[argument.index("[") :])]


def copied() -> list[str]:
    """What the build stage takes from the checkout."""
    return [source for argument in said("COPY", stage=0) for source in argument.split()[:-1]]


def is_command(name: str) -> bool:
    """Whether `commontrace` knows it."""
    asked = subprocess.run([sys.executable, "-m", "commontrace", name, "--help"], capture_output=True, check=False)
    return asked.returncode == 0
