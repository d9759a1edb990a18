#!/usr/bin/env python3
"""API reference, written from the comments of the protos.

Usage: .ci/api_reference.py [--check] docs/api.md. With `--check` it writes nothing and fails when the file is not what
it would write. Needs the development tools.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
    ServiceDescriptorProto,
)

from commontrace.v1 import options_pb2

PACKAGE = ".commontrace.v1."
# What readers look for first; a service that is missing here follows.
SERVICES = ("TraceService", "VoteService", "TagService")
IDEMPOTENCY = {
    MethodOptions.NO_SIDE_EFFECTS: "changes nothing",
    MethodOptions.IDEMPOTENT: "idempotent",
    MethodOptions.IDEMPOTENCY_UNKNOWN: "not idempotent by itself",
}
# A sentence ends before a capital letter, not after an abbreviation.
SENTENCE_END = re.compile(r"(?<=[.!?])(?: |<br><br>)(?=[A-Z`])")
# An underscore inside a word is no markup.
MARKUP = re.compile(r"[<>*\[\]\\]|(?<![^\W_])_|_(?![^\W_])")
INTRODUCTION = """\
# API reference

The package `commontrace.v1`, written by `make generate` from the comments in
[`protos/commontrace/v1`](../protos/commontrace/v1); edit those. [concepts.md](concepts.md) explains the terms. A server
describes the same contract by gRPC reflection.

Every write takes a `request_id`: the same request under the same id is carried out once, and its answer is repeated.
Lists have page tokens, updates have masks and etags. Every failure has a gRPC code and exactly one
`google.rpc.ErrorInfo`, whose reason is a value of [ErrorReason](#errorreason); invalid fields are named in a
`google.rpc.BadRequest`.
"""


class Commented:
    """Element of a proto file with the comment above it. `path` is its place in the file, as descriptors number it."""

    def __init__(self, file: FileDescriptorProto, path: tuple[int, ...]) -> None:
        comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        self.file, self.path, self._comments = file, path, comments

    def comment(self, *below: int) -> str:
        """Returns the comment of the element, or of one below it, as Markdown with one line for each paragraph."""
        paragraphs = re.split(r"\n\s*\n", self._comments.get(self.path + below, "").strip())
        return "\n\n".join(escaped(" ".join(paragraph.split())) for paragraph in paragraphs)

    def cell(self, *below: int) -> str:
        """Returns the comment as the cell of a table."""
        return self.comment(*below).replace("|", "\\|").replace("\n\n", "<br><br>")

    def summary(self) -> str:
        """Returns the first sentence of the comment as the cell of a table."""
        return SENTENCE_END.split(self.cell(), maxsplit=1)[0]


def escaped(text: str) -> str:
    """Returns the text with Markdown's markup escaped, code spans excepted."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(MARKUP, r"\\\g<0>", part) for part in parts)


def described(protos: Path) -> FileDescriptorSet:
    """Returns the compiled protos with their comments."""
    with tempfile.NamedTemporaryFile(suffix=".binpb") as out:
        files = sorted(map(str, protos.glob("commontrace/v1/*.proto")))
        compiler = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", "--include_source_info"]
        subprocess.run([*compiler, f"--descriptor_set_out={out.name}", *files], check=True)
        return FileDescriptorSet.FromString(out.read())


def type_of(field: FieldDescriptorProto) -> str:
    """Returns the type as protos write it, linked if this page describes it."""
    name = field.type_name
    if name.startswith(PACKAGE):
        short = name.removeprefix(PACKAGE)
        name = f"[{short}](#{short.lower()})"
    else:
        name = f"`{name.removeprefix('.') or FieldDescriptorProto.Type.Name(field.type).removeprefix('TYPE_').lower()}`"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def fields_of(message: DescriptorProto, at: Commented) -> Iterator[str]:
    """Yields the table of a message's fields; members of a oneof follow its own row."""
    if not message.field:
        yield "No fields.\n"
        return
    yield "| field | type | number | |\n|---|---|---|---|\n"
    open_group = None
    for index, field in enumerate(message.field):
        group = field.oneof_index if field.HasField("oneof_index") and not field.proto3_optional else None
        if group is not None and group != open_group:
            yield f"| **{message.oneof_decl[group].name}** | one of | | {at.cell(8, group)} |\n"
        open_group = group
        name = f"`{field.name}`" if group is None else f"- `{field.name}`"
        yield f"| {name} | {type_of(field)} | {field.number} | {at.cell(2, index)} |\n"


def write_message(message: DescriptorProto, at: Commented, *, heading: str = "####") -> Iterator[str]:
    """Yields a message and its fields."""
    if message.nested_type or message.enum_type:
        sys.exit(f"{message.name} has types inside: teach {Path(__file__).name} to write them")
    yield f"\n{heading} {message.name}\n\n{at.comment()}\n\n"
    yield from fields_of(message, at)


def write_enum(enum: EnumDescriptorProto, at: Commented) -> Iterator[str]:
    """Yields an enum and its values."""
    yield f"\n### {enum.name}\n\n{at.comment()}\n\n| value | number | |\n|---|---|---|\n"
    for index, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {at.cell(2, index)} |\n"


def write_method(method: MethodDescriptorProto, at: Commented) -> Iterator[str]:
    """Yields an RPC: request and response, comment, idempotency, required scope."""
    given, answered = (
        f"{'stream of ' if is_stream else ''}[{name.removeprefix(PACKAGE)}](#{name.removeprefix(PACKAGE).lower()})"
        for name, is_stream in (
            (method.input_type, method.client_streaming),
            (method.output_type, method.server_streaming),
        )
    )
    yield f"\n### {method.name}\n\n{given} → {answered}\n\n{at.comment()}\n\n"
    needed = f"needs [`{scope_of(method)}`](#scope)"
    if of_moderators := moderator_scope_of(method):
        needed += f", of a moderator [`{of_moderators}`](#scope)"
    yield f"*{IDEMPOTENCY[method.options.idempotency_level]}; {needed}*\n"


def scope_of(method: MethodDescriptorProto) -> str:
    """Returns the name of the scope that an RPC requires."""
    return options_pb2.Scope.Name(method.options.Extensions[options_pb2.required_scope])


def moderator_scope_of(method: MethodDescriptorProto) -> str:
    """The scope that is enough for moderators; "" where the RPC has none."""
    scope = method.options.Extensions[options_pb2.required_scope_of_moderators]
    return options_pb2.Scope.Name(scope) if scope else ""


def write_service(
    service: ServiceDescriptorProto, at: Commented, messages: dict[str, tuple[DescriptorProto, Commented]]
) -> Iterator[str]:
    """Yields a service: the table of its RPCs, then each RPC with its request and its response."""
    yield f"\n## {service.name}\n\n{at.comment()}\n"
    yield "\n| RPC | scope | |\n|---|---|---|\n"
    for index, method in enumerate(service.method):
        summary = Commented(at.file, (*at.path, 2, index)).summary()
        yield f"| [{method.name}](#{method.name.lower()}) | `{scope_of(method)}` | {summary} |\n"
    for index, method in enumerate(service.method):
        yield from write_method(method, Commented(at.file, (*at.path, 2, index)))
        for name in (method.input_type, method.output_type):
            yield from write_message(*messages.pop(name.removeprefix(PACKAGE)))


def contents(services: list[tuple[ServiceDescriptorProto, Commented]]) -> Iterator[str]:
    """Yields one line for each service, with a link to it, and what else the page holds."""
    yield "\n"
    for service, at in services:
        yield f"- [{service.name}](#{service.name.lower()}): {at.summary()[:1].lower()}{at.summary()[1:]}\n"
    yield "- [Messages](#messages) that several RPCs share, and [enums](#enums), among them the reasons of failures,\n"
    yield "  [ErrorReason](#errorreason)\n"


def reference(protos: Path) -> str:
    """Returns the whole page."""
    files = described(protos).file
    services = [(item, Commented(file, (6, i))) for file in files for i, item in enumerate(file.service)]
    services.sort(key=lambda service: (*SERVICES, service[0].name).index(service[0].name))
    messages = {
        item.name: (item, Commented(file, (4, i))) for file in files for i, item in enumerate(file.message_type)
    }
    enums = {item.name: (item, Commented(file, (5, i))) for file in files for i, item in enumerate(file.enum_type)}
    parts = [INTRODUCTION, *contents(services)]
    for service, at in services:
        parts += write_service(service, at, messages)
    parts.append("\n## Messages\n")
    for name in sorted(messages):
        parts += write_message(*messages[name], heading="###")
    parts.append("\n## Enums\n")
    for name in sorted(enums):
        parts += write_enum(*enums[name])
    return "".join(parts)


def main() -> None:
    """Writes the page, or compares it."""
    *flags, path = sys.argv[1:]
    page, written = Path(path), reference(Path("protos"))
    if flags != ["--check"]:
        page.write_text(written, encoding="utf-8")
    elif not page.exists() or page.read_text(encoding="utf-8") != written:
        sys.exit(f"{page} differs from what protos/ say: run 'make generate' and commit the result")


main()
