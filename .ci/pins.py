#!/usr/bin/env python3
"""Fails where something is fetched whose content is not fixed by a hash, unless unpinned.toml says why.

Usage: .ci/pins.py [DIRECTORY]. Looks at image definitions, Compose files, workflows, Makefiles, scripts, npm's
lock files and all of .ci, and lists the exceptions with their reasons. Commands put together at run time are not seen.
"""

import ast
import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pin_rules import Unpinned, in_command, in_image_definition, in_yaml

EXCEPTIONS = ".ci/unpinned.toml"
IMAGES = ("Dockerfile*", "*.Dockerfile", "Containerfile*")
YAML = ("*compose*.y*ml", ".git*/*.y*ml", ".gitlab-ci.yml", ".forgejo/*.y*ml", "action.y*ml")
MAKEFILES = ("Makefile", "*.mk")
SCRIPTS = ("*.sh", ".ci/*", "package.json")
LOCKS = ("package-lock.json",)
ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*[:?+]?=\s*(.*)$")
COMMENT = re.compile(r"(?:^|\s)#(?!\s*syntax=).*$")
BETWEEN_COMMANDS = re.compile(r"&&|\|\||[;|&`]|\$\(")


class Found(NamedTuple):
    """Unpinned dependency, and the place that asks for it."""

    place: str
    unpinned: Unpinned


def main() -> None:
    """Ends with a status that is not zero, and says where, if anything is unpinned without a reason."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    reasons = _reasons(root)
    found = [found for file in _files(root) for found in _look(root, file)]
    problems = [
        f"{place}: {what} ({kind}) is not pinned: {cure}, or say in {EXCEPTIONS} why it cannot be"
        for place, (kind, what, cure) in found
        if (kind, what) not in reasons
    ]
    used = {(unpinned.kind, unpinned.what) for _, unpinned in found}
    problems += [f"{EXCEPTIONS}: nothing asks for {what} ({kind})" for kind, what in reasons.keys() - used]
    for kind, what in sorted(used & reasons.keys()):
        print(f"not pinned: {what} ({kind}): {reasons[kind, what]}")
    sys.exit("\n".join(sorted(set(problems))) or None)


def _reasons(root: Path) -> dict[tuple[str, str], str]:
    file = root / EXCEPTIONS
    rows = tomllib.loads(file.read_text()).get("unpinned", []) if file.exists() else []
    for row in rows:
        if row.keys() != {"kind", "what", "why"} or not all(value.strip() for value in row.values()):
            sys.exit(f"{EXCEPTIONS}: an exception has a kind, a what and a why: {row}")
    return {(row["kind"], row["what"]): " ".join(row["why"].split()) for row in rows}


def _files(root: Path) -> list[str]:
    """Every file that is committed, or will be."""
    listing = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted({name for name in names if name and (root / name).is_file()})


def _look(root: Path, file: str) -> Iterator[Found]:
    def is_one_of(patterns: tuple[str, ...]) -> bool:
        return any(fnmatch.fnmatch(f"/{file}", f"*/{pattern}") for pattern in patterns)

    if not is_one_of((*IMAGES, *YAML, *MAKEFILES, *SCRIPTS, *LOCKS)):
        return
    text = (root / file).read_text()
    if is_one_of(LOCKS):
        yield from (Found(file, unpinned) for unpinned in _without_integrity(text))
        return
    if file.endswith(".py"):
        yield from (Found(f"{file}:{line}", one) for line, said in _python(text) for one in _in_line(said))
        return
    stages: set[str] = set()
    for number, line in _logical_lines(text):
        place = f"{file}:{number}"
        if is_one_of(IMAGES):
            yield from (Found(place, unpinned) for unpinned in in_image_definition(line, stages))
        if is_one_of(YAML):
            yield from (Found(place, unpinned) for unpinned in in_yaml(line))
        # A value of make's is looked at where it is used.
        if not is_one_of(MAKEFILES) or line.startswith("\t") or "$(shell" in line or not ASSIGNMENT.match(line):
            yield from (Found(place, unpinned) for unpinned in _in_line(line))


def _in_line(line: str) -> Iterator[Unpinned]:
    # A list of words, as Compose and RUN take it, reads like a command line.
    words = re.sub(r"[\[\]\"',]", " ", line)
    yield from in_command(" ".join(words.split()), whole=True)
    for command in BETWEEN_COMMANDS.split(words):
        yield from in_command(" ".join(command.split()), whole=False)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yields lines with their numbers: continued ones as one, without comments, the file's own variables filled in."""
    values: dict[str, str] = {}
    begun, number = "", 0
    for at, line in enumerate(text.splitlines(), 1):
        number = number if begun else at
        line = COMMENT.sub("", line)
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        whole, begun = _filled_in(begun + line, values), ""
        if assigned := ASSIGNMENT.match(whole):
            values[assigned[1]] = assigned[2].strip("\"'")
        yield number, whole
    if begun:
        yield number, _filled_in(begun, values)


def _filled_in(line: str, values: dict[str, str]) -> str:
    return re.sub(
        r"\$(?:\((\w+)\)|\{(\w+)\}|(\w+))",
        lambda found: values.get(found[1] or found[2] or found[3], found[0]),
        line,
    )


def _python(text: str) -> Iterator[tuple[int, str]]:
    """Yields every string, and the strings of every list or call as one command."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.List | ast.Tuple | ast.Call):
            parts = node.args if isinstance(node, ast.Call) else node.elts
            yield node.lineno, " ".join(str(part.value) if isinstance(part, ast.Constant) else "?" for part in parts)


def _without_integrity(text: str) -> Iterator[Unpinned]:
    for name, package in json.loads(text).get("packages", {}).items():
        if name and not package.get("link") and not package.get("integrity"):
            yield Unpinned("npm", name, "make the lock anew, with `integrity` on every package")


if __name__ == "__main__":
    main()
