"""Moves modules and rewrites whatever names them: imports, dotted names, paths.

Usage: .ci/move_modules.py LIST. Each line of the list is `old.module new.module`, or `old.package new.package`. Nothing
else changes, so a commit of this script's work is one of pure moves. A module whose last name changes is imported
under its old one (`import new as old`).
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
_DONE = "@"
"""Stands before names that are new already: one of them may be another one's old name."""
ROOTS = {"commontrace": Path("src"), "tests": Path(), "bench": Path()}


def path_of(module: str) -> Path:
    """Returns the file of a module, or the directory of a package, in the repository; without suffix."""
    return ROOTS[module.partition(".")[0]].joinpath(*module.split("."))


def git(*arguments: str) -> str:
    """Runs git, and returns what it says."""
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout


def moves_of(listed: str) -> dict[str, str]:
    """Returns the new name of every module of the list, those of packages one by one."""
    moves = {}
    for line in listed.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        old, new = line.split()
        directory = REPOSITORY / path_of(old)
        if not directory.is_dir():
            moves[old] = new
            continue
        for file in directory.rglob("*.py"):
            inner = file.relative_to(directory).with_suffix("").parts
            moves[".".join((old, *inner))] = ".".join((new, *inner))
        moves[old] = new
    return moves


def move(moves: dict[str, str]) -> None:
    """Moves the files, and makes the packages that they need."""
    for old, new in moves.items():
        source, target = path_of(old).with_suffix(".py"), path_of(new).with_suffix(".py")
        if not (REPOSITORY / source).is_file():
            continue  # a package, whose modules move one by one
        package = (REPOSITORY / target).parent
        while not (package / "__init__.py").exists():
            package.mkdir(parents=True, exist_ok=True)
            (package / "__init__.py").touch()
            package = package.parent
        (REPOSITORY / target).parent.mkdir(parents=True, exist_ok=True)
        git("mv", "-f", str(source), str(target))  # over the empty `__init__.py` of a package that moves


def rewritten(text: str, moves: dict[str, str], *, is_python: bool) -> str:
    """Returns the text with the new names in it."""
    if is_python:
        text = _with_imports(text, moves)
    names = {old: new for old, new in moves.items() if not old.endswith(".__init__")}
    # At one go: a new name may begin with an old one.
    text = re.sub(rf"(?<![\w./{_DONE}])({_any_of(names)})(?![\w/])", lambda found: names[found[1]], text)
    paths = {_inner_path(old): _inner_path(new) for old, new in names.items()}
    prefix = r"(?:(?:\.\./)*src/commontrace/|commontrace/|tests/|)"
    text = re.sub(rf"(?<![\w./-])({prefix})({_any_of(paths)})\b", lambda found: found[1] + paths[found[2]], text)
    return re.sub(rf"(?<=from ){_DONE}(?=\w)", "", text)


def _any_of(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


def _inner_path(module: str) -> str:
    """Returns the path below the root package, as documents name it."""
    return module.partition(".")[2].replace(".", "/") + ".py"


def _with_imports(text: str, moves: dict[str, str]) -> str:
    """Divides `from package import module` where the module moves."""
    lines = text.splitlines(keepends=True)
    for node in reversed(list(_imports(ast.parse(text)))):
        moved = [alias for alias in node.names if f"{node.module}.{alias.name}" in moves]
        if not moved:
            continue
        indent = " " * node.col_offset
        written = []
        staying = [alias for alias in node.names if alias not in moved]
        if staying:
            names = ", ".join(map(ast.unparse, staying))
            written.append(f"{indent}from {node.module} import {names}\n")
        for alias in moved:
            package, _, name = moves[f"{node.module}.{alias.name}"].rpartition(".")
            local = alias.asname or alias.name
            renamed = "" if local == name else f" as {local}"
            written.append(f"{indent}from {_DONE}{package} import {name}{renamed}\n")
        lines[node.lineno - 1 : node.end_lineno or node.lineno] = written
    return "".join(lines)


def _imports(tree: ast.AST) -> Iterator[ast.ImportFrom]:
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    return iter(sorted(imports, key=lambda node: node.lineno))


def main() -> None:
    """Moves what the list says."""
    moves = moves_of(Path(sys.argv[1]).read_text())
    move(moves)
    generated = re.compile(r"^(src/commontrace/v1/|CHANGELOG\.md$|\.ci/moves/|fixtures/|requirements)")
    for name in git("ls-files").splitlines():
        file = REPOSITORY / name
        if generated.match(name) or not file.is_file():
            continue
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue
        changed = rewritten(text, moves, is_python=name.endswith((".py", ".pyi")))
        if changed != text:
            file.write_text(changed)
    binaries = REPOSITORY / ".venv/bin"
    subprocess.run([binaries / "ruff", "check", "--quiet", "--select", "I", "--fix", "."], cwd=REPOSITORY, check=True)
    subprocess.run([binaries / "ruff", "format", "--quiet", "."], cwd=REPOSITORY, check=True)


if __name__ == "__main__":
    main()
