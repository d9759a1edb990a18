#!/usr/bin/env python3
"""Writes the reference of settings from the class `Settings`: names, defaults, values, and the docstring of each field.

Usage: .ci/settings_reference.py [--check] docs/settings.md. With `--check` it writes nothing and fails when the file is
not what it would write. Needs the installed package.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from commontrace.settings import MAX_DIMENSIONS, Settings

# The headings, each with the first field below it.
SECTIONS = {
    "listen_address": "Address and callers",
    "tls_cert_file": "TLS",
    "database_url": "Database",
    "max_calls": "Limits and quotas",
    "embedder": "Embeddings",
    "validation_threshold": "Behaviour of the service",
    "drain_seconds": "Shutdown",
    "metrics_address": "Monitoring",
}
# Values that a validator checks, so that the type does not tell them.
VALUES = {
    "listen_address": "`HOST:PORT`",
    "metrics_address": "`HOST:PORT`",
    "database_url": "URL `postgresql://...`",
    "embedded_shared_buffers": "size, such as `512MB`",
    "quota_tag_names_per_day": "0, or 20 to 1,000,000,000",
    "embedding_base_url": "URL `http://...` or `https://...`",
    "embedding_dimensions": f"integer, 1 to {MAX_DIMENSIONS:,}",
}
TYPES = {str: "text", int: "integer", float: "number", Path: "path", SecretStr: "text"}
INTRODUCTION = """\
# Settings

Environment variables of the server, written by `make generate` from the class `Settings` in
[`settings.py`](../src/commontrace/settings.py); edit that. `commontrace serve` reads them once, when it starts; an
empty variable counts as unset. Words such as `keys` may be in capitals, and `~` at the start of a path is the home
directory. A wrong value ends the command with one line that names the variable and what it must be. `commontrace
doctor` checks the settings beside everything else.

A database remembers its embedding model. A server whose settings give another model refuses to start and says what to
do: `commontrace reembed` moves the database to the new model. Only an embedded database that holds nothing but the
sample traces is encoded again without being asked. [operations.md](operations.md) has the settings in use,
[security.md](security.md) authentication and TLS, [embedders.md](embedders.md) the models, and
[monitoring.md](monitoring.md) metrics and spans.
"""


def main() -> None:
    """Writes the page, or compares it."""
    *flags, path = sys.argv[1:]
    page, written = Path(path), "".join(reference())
    if flags != ["--check"]:
        page.write_text(written, encoding="utf-8")
    elif not page.exists() or page.read_text(encoding="utf-8") != written:
        sys.exit(f"{page} differs from what Settings says: run 'make generate' and commit the result")


def reference() -> Iterator[str]:
    """Yields the whole page."""
    yield INTRODUCTION
    docstrings = docstrings_of(Settings)
    if left := SECTIONS.keys() - Settings.model_fields.keys() or VALUES.keys() - Settings.model_fields.keys():
        sys.exit(f"Settings has no {', '.join(sorted(left))}: correct {Path(__file__).name}")
    for name, field in Settings.model_fields.items():
        if name in SECTIONS:
            yield f"\n## {SECTIONS[name]}\n\n| variable | default | values | meaning |\n|---|---|---|---|\n"
        if name not in docstrings:
            sys.exit(f"{name} has no docstring below it")
        cells = (f"`{name.upper()}`", default_of(field), VALUES.get(name) or values_of(field), docstrings[name])
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def docstrings_of(settings: type) -> dict[str, str]:
    """Returns the docstring below each field, on one line; documents that it names become links."""
    body = ast.parse(inspect.getsource(settings)).body[0].body  # type: ignore[attr-defined]
    found = {}
    for statement, following in pairwise(body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                # An asterisk of OTEL_* begins no emphasis.
                text = " ".join(text.split()).replace("*", "\\*")
                text = re.sub(r"`data_dir`", "`DATA_DIR`", text)
                found[name] = re.sub(r"`docs/([\w-]+\.md)`", r"[\1](\1)", text)
    return found


def default_of(field: FieldInfo) -> str:
    """Returns the default as the environment spells it, or "unset": then the docstring says what that means."""
    if field.default_factory is not None or field.default is None:
        return "unset"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"


def values_of(field: FieldInfo) -> str:
    """Returns the type in words, with its bounds."""
    kind = without_none(field.annotation)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if kind is bool:
        return "`true`, `false`"
    low, high = bound_of(field, "ge"), bound_of(field, "le")
    if low is None and (above := bound_of(field, "gt")) is not None:
        low = f"above {above}"
    if low is None:
        return TYPES[kind]
    return f"{TYPES[kind]}, {low} to {high}" if high is not None else f"{TYPES[kind]}, {low} or more"


def bound_of(field: FieldInfo, name: str) -> str | None:
    """Returns the bound of that name (`ge`, `gt`, `le`), None where the field has none."""
    return next((f"{getattr(bound, name):,}" for bound in field.metadata if hasattr(bound, name)), None)


def without_none(annotation: Any) -> Any:
    """Returns the type that a setting has where it is set."""
    if get_origin(annotation) in {Union, UnionType}:
        (annotation,) = (kind for kind in get_args(annotation) if kind is not NoneType)
    # Annotated inside of a union keeps its marks.
    return get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation


main()
