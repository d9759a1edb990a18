"""Every file of the contract says, in the same way, where its generated code belongs in other languages (ADR 0036)."""

from importlib import import_module
from pathlib import PurePosixPath
from pkgutil import iter_modules

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

import commontrace.v1

FILES: list[FileDescriptor] = [
    import_module(f"commontrace.v1.{module.name}").DESCRIPTOR
    for module in iter_modules(commontrace.v1.__path__)
    if module.name.endswith("_pb2")
]


def expected_options(path: str) -> dict[str, object]:
    """The options of the file with this path, all that it has."""
    words = PurePosixPath(path).stem.split("_")
    return {
        "csharp_namespace": "CommonTrace.V1",
        "go_package": "commontrace.dev/gen/go/commontrace/v1;commontracev1",
        "java_multiple_files": True,
        "java_outer_classname": "".join(word.capitalize() for word in words) + "Proto",
        "java_package": "dev.commontrace.v1",
        "objc_class_prefix": "CTR",
        "php_namespace": "CommonTrace\\V1",
        "ruby_package": "CommonTrace::V1",
        "swift_prefix": "CommonTraceV1",
    }


def options(file: FileDescriptorProto) -> dict[str, object]:
    return {option.name: value for option, value in file.options.ListFields()}


def described(file: FileDescriptor) -> FileDescriptorProto:
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    return proto


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_has_the_options_of_all_languages(file: FileDescriptor) -> None:
    assert options(described(file)) == expected_options(file.name)


@pytest.mark.parametrize("left_out", expected_options(""))
def test_a_file_that_lacks_an_option_is_noticed(left_out: str) -> None:
    file = described(FILES[0])
    file.options.ClearField(left_out)  # type: ignore[arg-type]  # one name of many
    assert options(file) != expected_options(file.name)


def test_a_class_of_descriptors_is_named_after_its_file() -> None:
    assert expected_options("commontrace/v1/trace_service.proto")["java_outer_classname"] == "TraceServiceProto"


def test_there_are_files() -> None:
    assert "commontrace/v1/trace.proto" in {file.name for file in FILES}
