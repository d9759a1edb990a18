"""Imported modules, read from sources that are not run, and the distributions that install them."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions

from packaging.utils import canonicalize_name

_IMPORTING_CALLS = {"import_module", "__import__", "find_spec", "importorskip"}
_MODULE_FILE = re.compile(r"^((?:\w+/)*\w+)\.(?:py|(?:[\w-]+\.)?so),")


def imported_modules(source: str) -> Iterator[str]:
    """Every absolute import, wherever it stands; a name `b` of `a` as `a.b`, which may be a module or not."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{name.name}" for name in names)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in _IMPORTING_CALLS:
                for argument in (*node.args[:1], *(keyword.value for keyword in node.keywords)):
                    match argument:
                        case ast.Constant(value=str(module)) if not module.startswith("."):
                            yield module


def distributions_of(module: str) -> frozenset[str]:
    """The normalised names of those that install the module, or the one that it is a name in; none where it is unknown.

    A namespace package such as `google` belongs to all that install something below it, and has no names of its own.
    """
    installed = _installed_modules()
    if module in installed.namespaces:
        return installed.namespaces[module]
    while module and module not in installed.modules:
        module = module.rpartition(".")[0]
    return installed.modules.get(module, frozenset())


@dataclass(frozen=True, kw_only=True)
class _Installed:
    """Distributions by what they install: modules and packages with code, and directories that have none."""

    modules: dict[str, frozenset[str]]
    namespaces: dict[str, frozenset[str]]


@cache
def _installed_modules() -> _Installed:
    modules, directories = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for distribution in distributions():
        name = canonicalize_name(distribution.name)
        for module in _module_names((distribution.read_text("RECORD") or "").splitlines()):
            modules[module].add(name)
            while module := module.rpartition(".")[0]:
                directories[module].add(name)
    return _Installed(
        modules={module: frozenset(names) for module, names in modules.items()},
        namespaces={path: frozenset(names) for path, names in directories.items() if path not in modules},
    )


def _module_names(record: Iterable[str]) -> Iterator[str]:
    """From a list of installed files: `google/rpc/code_pb2.py` and a hash become `google.rpc.code_pb2`."""
    for line in record:
        if file := _MODULE_FILE.match(line):
            yield file[1].replace("/", ".").removesuffix(".__init__")
