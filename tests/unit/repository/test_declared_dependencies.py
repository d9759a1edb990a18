"""Declared dependencies: every import is in pyproject.toml, because transitive dependencies may vanish."""

import sys
import tomllib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.imported_modules import distributions_of, imported_modules
from tests.support.repository import REPOSITORY

PYPROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
OWN = {"commontrace"}
OWN_IN_DEVELOPMENT = {"tests", "bench"} | {script.stem for script in (REPOSITORY / ".ci").glob("*.py")}
# Type checkers bring these along, for stubs.
TYPESHED = {"_typeshed", "typing_extensions"}
AT_RUNTIME, IN_DEVELOPMENT = ("src", "migrations"), ("tests", "bench", ".ci")


def names(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(requirement).name) for requirement in requirements}


def declared(tree: str) -> set[str]:
    """The distributions that sources below a directory may import; those of extras count, where they are asked for."""
    project, groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
    found = names(project["dependencies"]).union(*map(names, project["optional-dependencies"].values()))
    return found if tree in AT_RUNTIME else found.union(*map(names, groups.values()))


def undeclared(source: str, *, file: str) -> Iterator[str]:
    """Says which import of the source, of a file with this path in the repository, is not declared."""
    allowed = declared(file.partition("/")[0])
    known = OWN | sys.stdlib_module_names | (TYPESHED if file.endswith(".pyi") else set())
    if file.partition("/")[0] in IN_DEVELOPMENT:
        known |= OWN_IN_DEVELOPMENT
    for module in sorted(set(imported_modules(source))):
        if module.partition(".")[0] in known:
            continue
        owners = distributions_of(module)
        if owners.isdisjoint(allowed):
            of = (
                f"{' or '.join(sorted(owners))}, which pyproject.toml does not declare"
                if owners
                else "nothing installed"
            )
            yield f"{file} imports {module} of {of}"


@pytest.mark.parametrize("tree", [*AT_RUNTIME, *IN_DEVELOPMENT])
def test_every_imported_distribution_is_declared(tree: str) -> None:
    files = sorted(path for pattern in ("*.py", "*.pyi") for path in (REPOSITORY / tree).rglob(pattern))
    assert files
    relative = [path.relative_to(REPOSITORY).as_posix() for path in files]
    said = [line for file in relative for line in undeclared((REPOSITORY / file).read_text(), file=file)]
    assert "\n".join(said) == ""


@pytest.mark.parametrize(
    "source",
    [
        "import yaml",
        "import yaml as markup",
        "from yaml import safe_load",
        "def load():\n    from yaml import nodes",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import yaml.nodes",
        "import importlib\nimportlib.import_module('yaml')",
        "__import__('yaml')",
        "from importlib import import_module\nimport_module(name='yaml')",
    ],
)
def test_an_undeclared_import_is_noticed(source: str) -> None:
    [said] = undeclared(source, file="src/commontrace/planted.py")
    assert said.startswith("src/commontrace/planted.py imports yaml")
    assert said.endswith(" of pyyaml, which pyproject.toml does not declare")
    assert not list(undeclared(source, file="tests/planted.py"))


@pytest.mark.parametrize("module", ["tests.support.builders", "bench"])
def test_what_is_shipped_imports_nothing_of_the_checkout_alone(module: str) -> None:
    assert list(undeclared(f"import {module}", file="src/commontrace/planted.py"))
    assert not list(undeclared(f"import {module}", file="tests/planted.py"))


def test_an_import_of_what_is_not_installed_is_noticed() -> None:
    said = "tests/planted.py imports no_such_module of nothing installed"
    assert list(undeclared("import no_such_module", file="tests/planted.py")) == [said]


@pytest.mark.parametrize(
    ("module", "distribution"),
    [
        ("google.protobuf.message.Message", "protobuf"),
        ("google.rpc.error_details_pb2", "googleapis-common-protos"),
        ("google.rpc", "googleapis-common-protos"),
        ("opentelemetry.trace", "opentelemetry-api"),
        ("opentelemetry.sdk.trace", "opentelemetry-sdk"),
        ("re2", "google-re2"),
    ],
)
def test_a_module_belongs_to_the_distribution_that_installs_it(module: str, distribution: str) -> None:
    assert distributions_of(module) == {distribution}


def test_what_a_namespace_does_not_hold_belongs_to_nobody() -> None:
    assert distributions_of("google") >= {"protobuf", "googleapis-common-protos"}
    assert not distributions_of("google.no_such_module")


def test_an_extra_counts_as_declared_and_imports_of_oneself_need_no_declaration() -> None:
    source = "import opentelemetry.trace, commontrace.client, json\nfrom . import something"
    assert not list(undeclared(source, file="src/commontrace/planted.py"))
